"""The whole page: its head, its style, the list of its parts."""

import re
from collections.abc import Sequence

from toolkit.views.report.elements import text

MARK = '<meta name="generator" content="toolkit report 1">'
"""What tells a report from any other file: it stands among the first lines."""

# Nothing may be asked for from anywhere, whatever a store says: pictures are in the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_HEADING = re.compile(r'^<section id="([^"]*)"><h2>(.*?)</h2>')

_STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--dim:#5a636e;--line:#d5dae0;
--soft:#f4f6f8;--link:#0b5cad;--done:#0072b2;--stale:#cc79a7;--failed:#d55e00;--blocked:#e69f00;
--pending:#c9ced5}
@media (prefers-color-scheme:dark){:root{--page:#15181c;--ink:#e4e7eb;--dim:#9aa4b0;--line:#363c44;
--soft:#1e2329;--link:#7cb8f2;--done:#3f9fdc;--stale:#e0a3c8;--failed:#f0803c;--blocked:#f2b53a;
--pending:#4a525c}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:2.5rem 1.75rem 4rem;max-width:72rem;background:var(--page);
color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",
"DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .35rem;font-weight:650;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.75rem 0 .75rem;padding-bottom:.3rem;
border-bottom:1px solid var(--line);font-weight:620}
h3{font-size:1rem;margin:1.5rem 0 .4rem;font-weight:620;overflow-wrap:anywhere}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
.dim,figcaption,.lead{color:var(--dim)}
.lead{margin:0;max-width:none}
nav{margin:1.2rem 0 0;font-size:.92rem}nav a{margin-right:1.1rem;white-space:nowrap}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.86em}
code{overflow-wrap:anywhere}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem;
margin:.5rem 0;overflow-x:auto;line-height:1.4}
.wide{overflow-x:auto;margin:.6rem 0}
table{border-collapse:collapse;font-size:.93rem}
th,td{text-align:left;vertical-align:top;padding:.3rem 1.4rem .3rem 0}
thead th{color:var(--dim);font-weight:500;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr+tr td{border-top:1px solid var(--line)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.facts{margin:.4rem 0}.facts td,.facts th{border:0;padding:.14rem 1.4rem .14rem 0}
.facts th{color:var(--dim);font-weight:400;white-space:nowrap}
details{margin:.25rem 0}summary{cursor:pointer}
details>div{margin:.35rem 0 .8rem 1.1rem}
.failure{border-left:3px solid var(--failed);padding:.1rem 0 .1rem .9rem;margin:1rem 0}
.failure p{margin:.2rem 0;max-width:none}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(7rem,1fr));gap:.75rem;
margin:1.5rem 0 1rem}
.numbers div{background:var(--soft);border-radius:8px;padding:.7rem .9rem}
.numbers b{display:block;font-size:1.3rem;font-weight:620;line-height:1.25}
.numbers span{color:var(--dim);font-size:.86rem}
.bar{display:flex;height:.85rem;border-radius:4px;overflow:hidden;background:var(--soft);
margin:.6rem 0 .35rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.bar i{display:block;min-width:2px}
.key{font-size:.88rem;color:var(--dim);margin:0 0 .6rem}
.key span{margin-right:1.1rem;white-space:nowrap}
.key i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.35rem;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
.done{background:var(--done)}.stale{background:var(--stale)}.failed{background:var(--failed)}
.blocked{background:var(--blocked)}.pending{background:var(--pending)}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(27rem,100%),1fr));
gap:1.6rem 1.4rem;margin:1rem 0}
figure{margin:0;max-width:38rem}
figure svg{display:block;width:100%;height:auto}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figure svg text{font-family:inherit!important}
figcaption{font-size:.88rem;line-height:1.4;margin-top:.4rem}
figcaption b{color:var(--ink);font-weight:620}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--dim);
font-size:.86rem}
@media (max-width:560px){body{padding:1.4rem 1rem 3rem}.facts th{white-space:normal}}
@media print{:root{--page:#fff;--ink:#000;--dim:#444;--line:#bbb;--soft:#f6f6f6;--link:#000;
--done:#0072b2;--stale:#cc79a7;--failed:#d55e00;--blocked:#e69f00;--pending:#c9ced5}
body{font-size:10pt;padding:0;max-width:none}nav{display:none}
h2,h3{break-after:avoid}figure,.failure,tr,.numbers{break-inside:avoid}
.pictures{grid-template-columns:1fr 1fr}pre{white-space:pre-wrap}
.failure details::details-content{content-visibility:visible;block-size:auto}}
@page{margin:18mm 16mm}
"""


def page(title: str, lead: str, summary: str, sections: Sequence[str], foot: str) -> str:
    """Return the document.

    Parameters
    ----------
    title
        A text.
    lead, summary, foot
        HTML of what stands under the title, before the first part, and at the end.
    sections
        HTML of the parts, each by ``elements.section``.
    """
    links = "".join(
        f'<a href="#{found[1]}">{found[2]}</a>'
        for found in map(_HEADING.match, sections)
        if found is not None
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MARK}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{text(title)}</h1><p class="lead">{lead}</p><nav>{links}</nav></header>\n'
        f"{summary}\n" + "\n".join(sections) + f"\n<footer>{foot}</footer>\n</body>\n</html>\n"
    )
