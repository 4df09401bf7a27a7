from dataclasses import replace

from tests.views import specimens
from toolkit.views.dashboard import panels

EVIL = "<script>alert('x')</script>&\x1b[31m"
MIDDLE = specimens.in_the_middle()


def test_nothing_that_a_run_says_becomes_markup():
    group = replace(
        MIDDLE.failures[0],
        **dict.fromkeys(
            ("stage", "exception", "where", "message", "traceback", "host", "tier", "reproduce"),
            EVIL,
        ),
        reason=EVIL,
        labels={EVIL: EVIL},
    )
    document = replace(
        MIDDLE,
        message=EVIL,
        stages=(replace(MIDDLE.stages[1], name=EVIL),),
        tiers=(replace(MIDDLE.tiers[0], name=EVIL, stage=EVIL, waits=EVIL),),
        failures=(group,),
        slowest=(replace(MIDDLE.slowest[1], stage=EVIL, tier=EVIL, labels={EVIL: EVIL}),),
    ).document()
    shown = {
        "header": panels.header(EVIL, document),
        "stages": panels.stages(document),
        "tiers": panels.tiers(document),
        "slowest": panels.slowest(document),
        "failure": panels.failure(document["failures"][0], is_closed=False),
    }
    for name, html in shown.items():
        assert "<script" not in html, name
        assert "\x1b" not in html, name
        assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;" in html, name
    assert "\x1b" not in panels.failure_title(document["failures"][0])


def test_the_header_says_how_it_stands():
    told = panels.header("parcels.zarr", MIDDLE.document())
    assert "65,006 of 150,000 runs have ended" in told
    assert "41.5 runs/s" in told
    assert "25 min to 48 min left" in told
    assert "43.2 core-hours and 3 GPU-hours spent" in told
    ended = panels.header("sir.zarr", specimens.at_the_end().document())
    assert "4,000 of 4,000 runs have ended" in ended
    assert "left" not in ended


def test_bars_and_words_of_a_stage_agree():
    told = panels.stages(MIDDLE.document())
    for words in ("61,204 done", "1,312 failed", "990 blocked", "24 running", "84,970 pending"):
        assert words in told
    assert f"width:{100 * 61_204 / 148_500:.3f}%;background:{panels.COLORS['done']}" in told


def test_gpu_hours_are_told_where_there_are_gpus_only():
    assert "GPU-hours" in panels.tiers(MIDDLE.document())
    assert "GPU-hours" not in panels.tiers(replace(MIDDLE, tiers=MIDDLE.tiers[:1]).document())
    assert panels.tiers(specimens.at_the_end().document()) == ""


def test_a_failure_without_the_key_says_how_to_get_it():
    group = {**MIDDLE.document()["failures"][0], "message": "", "traceback": "", "labels": {}}
    assert "job.page_link" in panels.failure(group, is_closed=True)
    assert "job.page_link" not in panels.failure(MIDDLE.document()["failures"][0], is_closed=False)
