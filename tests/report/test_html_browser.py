"""report.html in a real browser: no console error, everything there, readable on a phone."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from browser import needs_chromium, open_page
from synthetic import make_report, raced

from edgecompress.report.html import render_html
from edgecompress.report.pages import render_all, render_pair
from edgecompress.store import RunPoint, RunRow

pytestmark = needs_chromium
LONG = "backbone.with_a_name_that_has_no_place_to_break_" * 3
HOSTILE = "<script>document.documentElement.id='pwned';console.log('pwned')</script>"

POINT = RunPoint(
    id="20261121-101112-synthetic-1a2b",
    created="2026-11-21T10:11:12+00:00",
    target="synthetic-board",
    task="task.py:digits",
    device="synthetic",
    decision="ship",
    metric="accuracy",
    value=0.96,
    latency_ms_p50=0.7,
    model_size_bytes=120_000,
    macs=18_000_000,
)
ROW = RunRow(
    id=POINT.id,
    target=POINT.target,
    recipe_digest="0" * 64,
    started=POINT.created,
    finished=POINT.created,
    decision="ship",
    metric="MulticlassAccuracy",
    baseline=0.97,
    candidate=0.96,
    speedup=2.1,
    emulated=False,
)
PHONE = """<!doctype html><body style="margin:0">
<iframe src="report.html" style="width:WIDTHpx;height:800px;border:0"></iframe>
<pre id="seen"></pre>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  for (const details of page.querySelectorAll("details")) details.open = true;
  const first = (what) => page.querySelector(what) || page.body;
  const box = (id) => (page.getElementById(id) || page.body).getBoundingClientRect();
  const text = page.querySelector("#chart-layers text");
  document.getElementById("seen").textContent = JSON.stringify({
    scrollWidth: page.documentElement.scrollWidth,
    charts: [...page.querySelectorAll("figure svg")].map((chart) => {
      const { width, height } = chart.getBoundingClientRect();
      return [chart.id, width, height];
    }),
    verdict: first("#verdict strong").innerText,
    verdictBottom: box("verdict").bottom,
    chartText: text ? text.getBoundingClientRect().height : 0,
    answersBottom: first(".answers").getBoundingClientRect().bottom,
    cut: [...page.querySelectorAll("table")].filter((table) => {
      const frame = table.closest(".scroll");
      const right = frame ? frame.getBoundingClientRect().right : 0;
      const scrolls = frame && page.defaultView.getComputedStyle(frame).overflowX === "auto";
      return !frame || !scrolls || right > page.documentElement.clientWidth + 1;
    }).map((table) => table.innerText.slice(0, 40)),
    wide: [...page.querySelectorAll("table.stack, table.figures")].filter(
      (table) => table.scrollWidth > table.closest(".scroll").clientWidth,
    ).length,
    unnamed: [...page.querySelectorAll("svg[role=img]")].filter((chart) =>
      !["aria-labelledby", "aria-describedby"].every(
        (key) => page.getElementById(chart.getAttribute(key)).textContent.trim(),
      ),
    ).length,
    background: page.defaultView.getComputedStyle(page.body).backgroundColor,
  });
});
</script>"""


def seen(folder: Path, *flags: str, width: int = 390) -> dict[str, object]:
    (folder / "phone.html").write_text(PHONE.replace("WIDTH", str(width)))
    opened = open_page(folder / "phone.html", *flags)
    assert opened.console == []
    found = re.search(r'<pre id="seen">(.*?)</pre>', opened.dom)
    assert found is not None
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("name", ["digits", HOSTILE])
def test_it_opens_without_a_console_error(tmp_path: Path, name: str) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(make_report(name=name, sent=True)))
    opened = open_page(page)
    assert opened.console == []
    assert '<html lang="en"' in opened.dom
    assert "pwned" not in re.sub(r"&lt;script&gt;.*?&lt;/script&gt;", "", opened.dom)
    assert 'data-decision="ship"' in opened.dom
    assert 'id="pushed"' in opened.dom
    for chart in ("tradeoff", "latency", "layers", "training"):
        assert re.search(rf'<svg [^>]*id="chart-{chart}"', opened.dom)


def test_the_console_is_really_read_and_requests_are_really_blocked(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    html = render_html(make_report())
    page.write_text(html.replace("</main>", '<img src="https://synthetic.invalid/x.png"></main>'))
    (line,) = open_page(page).console
    assert "Content Security Policy" in line


@pytest.mark.parametrize("name", ["digits", LONG])
def test_it_fits_a_phone(tmp_path: Path, name: str) -> None:
    (tmp_path / "report.html").write_text(render_html(make_report(name=name, sent=True)))
    page = seen(tmp_path)
    assert page["scrollWidth"] <= 390
    assert page["verdict"] == "SHIP"
    assert page["chartText"] >= 8
    assert len(page["charts"]) == 5
    for _, width, height in page["charts"]:
        assert 300 <= width <= 390
        assert height >= 150


@pytest.mark.parametrize(("width", "height"), [(390, 800), (1280, 800)])
def test_what_a_newcomer_asks_is_answered_without_scrolling(
    tmp_path: Path, width: int, height: int
) -> None:
    (tmp_path / "report.html").write_text(render_html(raced(make_report())))
    page = seen(tmp_path, width=width)
    assert 0 < page["answersBottom"] <= height


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["report", "pair", "all"])
def test_no_table_is_cut_and_every_chart_has_words(tmp_path: Path, kind: str, width: int) -> None:
    report = raced(make_report(sent=True))
    pages = {
        "report": lambda: render_html(report, [POINT]),
        "pair": lambda: render_pair(report, report.model_copy(update={"run": f"{report.run}-b"})),
        "all": lambda: render_all([ROW], [POINT]),
    }
    (tmp_path / "report.html").write_text(pages[kind]())
    page = seen(tmp_path, width=width)
    assert (page["cut"], page["wide"], page["unnamed"]) == ([], 0, 0)
    assert page["scrollWidth"] <= width


def test_it_follows_the_wish_for_dark(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_html(make_report()))
    assert seen(tmp_path)["background"] == "rgb(244, 246, 248)"
    dark = seen(tmp_path, "--blink-settings=preferredColorScheme=0")
    assert dark["background"] == "rgb(13, 17, 23)"
