/* A toy simulator, as a scientist has one: a damped wave at some flow, written to a file.
 *
 *   sim --flow F [--steps N] [--out FILE] [--input FILE] [--memory MB] [--chatter MB]
 *       [--exit CODE] [--crash] [--sleep SECONDS] [--pids FILE] [--echo TEXT]...
 *
 * Prints {"peak": …, "mean": …}. With --pids it starts a child in its group and one in a session of
 * its own, which both sleep, and writes the process ids of all three into FILE, a line each.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_pids(const char *path)
{
    pid_t near = fork();
    if (near == 0) { sleep(600); _exit(0); }
    pid_t far = fork();
    if (far == 0) { setsid(); sleep(600); _exit(0); }
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "w");
    fprintf(file, "%d\n%d\n%d\n", (int)getpid(), (int)near, (int)far);
    fclose(file);
    rename(temporary, path);
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end) { fprintf(stderr, "not a number: %s\n", text); exit(2); }
    return value;
}

int main(int argc, char **argv)
{
    double flow = NAN, pause = 0, memory = 0, chatter = 0, peak = -1, total = 0;
    int steps = 100, code = 0, crash = 0;
    const char *out = NULL, *pids = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--crash")) { crash = 1; continue; }
        if (!strcmp(argv[i], "--flow")) flow = number(value);
        else if (!strcmp(argv[i], "--steps")) steps = (int)number(value);
        else if (!strcmp(argv[i], "--out")) out = value;
        else if (!strcmp(argv[i], "--memory")) memory = number(value);
        else if (!strcmp(argv[i], "--chatter")) chatter = number(value);
        else if (!strcmp(argv[i], "--exit")) code = (int)number(value);
        else if (!strcmp(argv[i], "--sleep")) pause = number(value);
        else if (!strcmp(argv[i], "--pids")) pids = value;
        else if (!strcmp(argv[i], "--echo")) fprintf(stderr, "[%s]\n", value);
        else if (!strcmp(argv[i], "--input")) {
            FILE *file = fopen(value, "r");
            if (!file || fscanf(file, " flow = %lf", &flow) != 1) { perror(value); return 2; }
            fclose(file);
        } else { fprintf(stderr, "unknown option %s\n", argv[i]); return 2; }
        i++;
    }
    if (memory > 0) memset(malloc((size_t)(memory * 1e6)), 1, (size_t)(memory * 1e6));
    for (double written = 0; written < chatter * 1e6; written += 100)
        fprintf(stderr, "%99.0f\n", written);
    if (pids) write_pids(pids);
    if (pause > 0) usleep((useconds_t)(pause * 1e6));
    if (crash) raise(SIGSEGV);
    if (code) { fprintf(stderr, "no solution at flow %g\n", flow); return code; }
    FILE *file = out ? fopen(out, "w") : NULL;
    if (out && !file) { perror(out); return 2; }
    if (file) fprintf(file, "time,height\n");
    for (int step = 0; step < steps; step++) {
        double height = exp(-0.02 * step) * cos(flow * step);
        if (height > peak) peak = height;
        total += height;
        if (file) fprintf(file, "%d,%.17g\n", step, height);
    }
    if (file) fclose(file);
    printf("{\"peak\": %.17g, \"mean\": %.17g}\n", peak, total / steps);
    return 0;
}
