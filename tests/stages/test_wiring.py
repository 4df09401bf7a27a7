import pytest

from toolkit.errors import StageError
from toolkit.stages.stage import as_stage, stage
from toolkit.stages.wiring import sketch, wire


def wired(*functions, **kinds):
    return wire([as_stage(function) for function in functions], kinds)


def fit(size): ...


def score(fit, noise): ...


def report(score, fit): ...


def test_stages_come_after_those_that_they_need_whatever_the_order_given() -> None:
    nodes = wired(report, score, fit, size="axis", noise="axis")
    assert [node.name for node in nodes] == ["fit", "score", "report"]
    assert [node.upstream for node in nodes] == [(), ("fit",), ("score", "fit")]
    assert nodes[2].names == {"size", "noise"}


def test_arguments_take_outputs_by_name_and_by_rename() -> None:
    @stage(outputs={"peak": float, "v": ("time",)})
    def simulate(beta): ...

    @stage(rename={"height": "peak"})
    def double(height): ...

    (_, node) = wire([double, simulate], {"beta": "axis"})
    assert [(link.source, link.stage, link.output) for link in node.links] == [
        ("peak", "simulate", "peak")
    ]


def test_outputs_that_are_stored_already_are_known_without_a_declaration() -> None:
    def simulate(beta): ...

    def double(peak): ...

    stages = [as_stage(double), as_stage(simulate)]
    with pytest.raises(StageError, match=r"(?s)'peak'.*The path: double\(peak\).*simulate declare"):
        wire(stages, {"beta": "axis"})
    nodes = wire(stages, {"beta": "axis"}, stored=lambda name: ["peak"] * (name == "simulate"))
    assert nodes[1].links[0].output == "peak"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_is_drawn(length) -> None:
    def a(c, x): ...

    def b(a): ...

    def c(b): ...

    if length == 1:

        def selfish(selfish): ...

        with pytest.raises(StageError, match="nothing provides it"):
            wired(selfish, fit, size="axis")
        return
    if length == 2:

        def a(b, x): ...

    with pytest.raises(StageError) as caught:
        wired(*(a, b, c)[:length], x="axis")
    drawn = "a -> b -> a" if length == 2 else "a -> b -> c -> a"
    assert drawn in str(caught.value)


def test_what_is_missing_names_the_path_and_the_nearest_name() -> None:
    @stage(outputs=["signal"])
    def simulate(size): ...

    def mean(sgnal): ...

    with pytest.raises(StageError) as caught:
        wire([simulate, as_stage(mean)], {"size": "axis"})
    said = str(caught.value)
    assert "'sgnal'" in said
    assert "Did you mean 'signal'?" in said

    def last(score, gone): ...

    with pytest.raises(StageError, match=r"fit -> score -> last\(score, gone\)"):
        wired(fit, score, last, size="axis", noise="axis")


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ([fit, stage(score, name="fit")], "Two stages are named 'fit'"),
        (
            [stage(fit, name="a", outputs=["v"]), stage(fit, name="b", outputs=["v"])],
            "both return 'v'",
        ),
        ([fit, stage(score, outputs=["fit"])], "which is the name of another stage"),
        ([stage(fit, outputs=["noise"]), score], "a parameter and an output"),
        ([fit, report, stage(fit, name="score")], "Nothing uses 'noise'"),
    ],
)
def test_ambiguous_names_and_idle_parameters_are_errors(functions, words) -> None:
    with pytest.raises(StageError, match=words):
        wired(*functions, size="axis", noise="axis")


def test_defaults_that_differ_between_stages_are_an_error() -> None:
    def a(x, k=1): ...

    def b(a, k=2): ...

    with pytest.raises(StageError, match="different defaults for 'k': 1 and, in 'b', 2"):
        wired(a, b, x="axis")
    assert wired(a, b, x="axis", k="axis")[1].names == {"x", "k"}


def test_replicates_belong_to_stages_that_draw_and_those_after_them() -> None:
    def noise(rng): ...

    def after(noise, x): ...

    def still(x): ...

    nodes = {n.name: n for n in wired(noise, after, still, x="axis", trial="replicates")}
    assert {name: sorted(node.names) for name, node in nodes.items()} == {
        "noise": ["trial"],
        "after": ["trial", "x"],
        "still": ["x"],
    }
    with pytest.raises(StageError, match="Replicates 'trial' would repeat the same runs"):
        wired(still, as_stage(lambda still: 1), x="axis", trial="replicates")


def test_the_sketch_reads_like_the_study() -> None:
    nodes = wired(report, score, fit, size="axis", noise="axis")
    assert sketch(nodes).splitlines() == [
        "fit(size)",
        "fit -> score(fit, noise)",
        "score, fit -> report(score, fit)",
    ]
