"""The page in headless Chromium: as a file without any network, and live with a model behind it.

Pictures stay in the folder that LAMP_FAST_PICTURES names, if it is set.
"""

import threading

import numpy as np
import pytest

from lamp_fast import LampPipeline
from lamp_fast.export import save
from lamp_fast.export.page import render_page
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.viewer.server import ViewerServer

FRAMES, FPS = 60, 20.0
EVIL = "walks </script><script>document.title = 'stolen'</script><img src=x onerror=\"document.title = 'stolen'\">"
LEFT, RIGHT = (226, 92, 52), (38, 120, 178)


def walker(direction, prompt, frames=FRAMES):
    """A T-pose that glides forward, first on the left foot and then on the right."""
    joints = np.zeros((frames, 22, 3), np.float32)
    lengths = np.linalg.norm(HUMANML3D.offsets, axis=1)
    for parent, joint in HUMANML3D.bones:
        joints[:, joint] = joints[:, parent] + lengths[joint] * np.array(HUMANML3D.t_pose[joint], np.float32)
    joints[..., 1] -= joints[..., 1].min() - 0.03
    joints[..., 2] += direction * np.linspace(0, 2, frames)[:, None]
    contacts = np.zeros((frames, 4), bool)
    contacts[: frames // 2, :2] = contacts[frames // 2 :, 2:] = True
    prompts = [prompt] * (frames // 2) + [f"{prompt} again"] * (frames - frames // 2)
    return Clip(joints, HUMANML3D, FPS, contacts, prompts)


@pytest.fixture
def exported(open_page, tmp_path):
    """Open the page of some motions offline."""

    def show(*motions, **options):
        (tmp_path / "page.html").write_text(render_page(motions, [f"n{i}" for i in range(len(motions))]), "utf-8")
        return open_page((tmp_path / "page.html").as_uri(), offline=True, **options)

    return show


def frame(page):
    return round(float(page.run("byId('time').value")) * FPS)


def playing(page):
    return page.run("byId('play').textContent") == "Pause"


def prompts(page):
    return page.run("[...document.querySelectorAll('#cast p')].map((p) => p.textContent)")


def click(page, name):
    box = page.run(f"byId('{name}').getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.drag((x, y), (x, y))


def slide(page, seconds):
    page.run(f"byId('time').value = {seconds}; byId('time').dispatchEvent(new Event('input'))")


def near(picture, colour, reach=60):
    """How many pixels have about that colour."""
    return int((np.abs(picture - np.array(colour)).sum(-1) < reach).sum())


def test_the_page_plays_offline(exported):
    page = exported(walker(1, "walks"), walker(-0.2, "backs off", frames=20))
    assert playing(page)
    first = frame(page)
    page.wait(f"Math.round(byId('time').value * {FPS}) !== {first}")
    page.press(" ")
    assert not playing(page)
    before = frame(page)
    page.press("ArrowRight")
    page.press("ArrowRight")
    page.press("ArrowLeft")
    assert frame(page) == min(before + 1, FRAMES - 1)
    page.press("Home")
    page.press("ArrowRight", shift=True)
    assert frame(page) == 10
    page.press("End")
    assert frame(page) == FRAMES - 1
    assert page.troubles() == []
    assert [url.split(":")[0] for url in page.requests()] == ["file"]


def test_it_begins_again_or_stops(exported):
    page = exported(walker(1, "walks", frames=10))
    click(page, "loop")
    page.wait("byId('play').textContent === 'Play'")
    assert frame(page) == 9
    page.press("l")
    page.press("ArrowUp")
    assert page.run("byId('speed').value") == "2"
    page.press(" ")
    page.run("window.seen = []; new MutationObserver(() => seen.push(byId('clock').textContent))"
             ".observe(byId('clock'), { childList: true }); 0")  # fmt: skip
    page.wait("seen.filter((text, i) => i && parseFloat(text) < parseFloat(seen[i - 1])).length >= 2")
    assert playing(page)
    click(page, "play")
    assert not playing(page)
    page.press(" ")
    assert playing(page), "the button that was clicked does not keep the space bar"


def test_scrubbing_shows_another_moment(exported):
    page = exported(walker(1, "walks"))
    page.press(" ")
    slide(page, 0.5)
    assert frame(page) == 10 and prompts(page) == ["walks"]
    assert page.run("byId('clock').textContent") == "0.50 / 2.95 s · frame 10 / 59"
    early = page.screenshot("scrub-early")
    slide(page, 2.5)
    late = page.screenshot("scrub-late")
    assert frame(page) == 50 and prompts(page) == ["walks again"]
    assert (np.abs(early - late)[:500].sum(-1) > 30).sum() > 300
    click(page, "time")
    assert abs(frame(page) - (FRAMES - 1) / 2) <= 1
    x, y, width = page.run("(() => { const r = byId('strip').getBoundingClientRect(); return [r.x, r.y, r.width]; })()")
    page.drag((x + 0.1 * width, y + 3), (x + 0.75 * width, y + 3))
    assert frame(page) == 45


def test_what_is_drawn(exported):
    page = exported(walker(1, "walks"))
    page.press(" ")
    page.press("Home")
    picture = page.screenshot("one-figure")
    stage = picture[:500]
    figure = near(stage, LEFT, 120), near(stage, RIGHT, 120)
    assert min(figure) > 500, "limbs in their colours"
    rows = np.flatnonzero((np.ptp(stage, axis=-1) > 60).any(axis=1))
    assert np.ptp(rows) > 200, "a figure of some height"
    # The left foot is down in the first half, the right one in the second: bars below the slider.
    box = page.run("byId('strip').getBoundingClientRect().toJSON()")
    bars = picture[round(box["top"]) : round(box["bottom"])]
    assert near(bars[:, :440], LEFT) > 500 and near(bars[:, 460:], LEFT) == 0
    assert near(bars[:, 460:], RIGHT) > 500 and near(bars[:, :440], RIGHT) == 0


def test_side_by_side_or_on_one_spot(exported):
    page = exported(*(walker(1, "walks") for _ in range(3)))
    page.press(" ")
    labels = "[...document.querySelectorAll('#labels span')].map((s) => s.getBoundingClientRect().x)"
    page.screenshot("three-apart")
    apart = page.run(labels)
    assert apart == sorted(apart) and apart[2] - apart[0] > 100
    page.press("s")
    page.screenshot("three-together")
    together = page.run(labels)
    assert max(together) - min(together) < 2
    assert page.troubles() == []


def test_the_camera(exported):
    page = exported(walker(1, "walks"))
    page.press(" ")
    page.press("Home")
    stage = lambda name: page.screenshot(name)[:500]  # noqa: E731
    front = stage("camera-front")
    page.drag((450, 250), (850, 250))
    turned = stage("camera-turned")
    page.mouse("mouseWheel", 450, 250, deltaX=0, deltaY=600)
    far = stage("camera-far")
    page.press("r")
    assert (np.abs(front - turned).sum(-1) > 30).sum() > 1000
    assert near(far, LEFT, 120) < 0.8 * near(turned, LEFT, 120)
    assert np.array_equal(stage("camera-reset"), front)
    page.press("f")
    page.press("End")
    left_behind = stage("camera-not-following")
    page.press("f")
    assert (np.abs(left_behind - stage("camera-following")).sum(-1) > 30).sum() > 500


def test_words_are_only_shown(exported):
    page = exported(walker(1, EVIL), walker(1, "{{DATA}}"))
    page.press("Home")
    assert prompts(page) == [EVIL, "{{DATA}}"]
    assert page.run("document.title").startswith("walks </script>")
    assert page.run("document.querySelectorAll('script').length") == 2
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.troubles() == []


def test_a_phone(exported):
    page = exported(
        walker(1, "a person walks forward slowly and then looks around"), width=360, height=640, mobile=True
    )
    page.press(" ")
    picture = page.screenshot("phone")
    assert page.run("document.documentElement.scrollWidth") <= 360
    for name in ("play", "time", "speed", "follow", "reset"):
        box = page.run(f"byId('{name}').getBoundingClientRect().toJSON()")
        assert box["left"] >= 0 and box["right"] <= 360 and box["bottom"] <= 640, name
    assert near(picture, LEFT, 120) > 200
    assert page.run("byId('view').clientHeight") > 300


def test_two_fingers_zoom_and_move(exported):
    page = exported(walker(1, "walks"), width=360, height=640, mobile=True)
    page.press(" ")
    before = page.run("[camera.distance, camera.azimuth, ...camera.pan]")

    def touch(kind, *places):
        page.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in places])

    touch("touchStart", (150, 200), (200, 200))
    for step in range(1, 6):
        touch("touchMove", (150 - 10 * step, 200 + 20 * step), (200 + 10 * step, 200 + 20 * step))
    touch("touchEnd")
    distance, azimuth, *pan = page.run("[camera.distance, camera.azimuth, ...camera.pan]")
    assert distance < 0.5 * before[0] and azimuth == before[1] and pan[1] > 0.1
    touch("touchStart", (150, 200))
    touch("touchMove", (50, 200))
    touch("touchEnd")
    assert page.run("camera.azimuth") > azimuth + 0.5


def test_one_frame_stands(exported):
    page = exported(walker(1, "stands", frames=2), walker(1, "stands", frames=1))
    page.press("End")
    page.press(" ")
    assert page.troubles() == []


def test_a_context_that_is_lost_comes_back(exported):
    page = exported(walker(1, "walks"))
    page.press(" ")
    before = page.screenshot("context-before")
    lose = "const lose = byId('view').getContext('webgl2').getExtension('WEBGL_lose_context');"
    page.run(f"(async () => {{ {lose} lose.loseContext(); await new Promise((d) => setTimeout(d, 200));"
             " lose.restoreContext(); await new Promise((d) => setTimeout(d, 200)); })()")  # fmt: skip
    assert np.array_equal(page.screenshot("context-after"), before)


@pytest.fixture
def live(tiny_lamp, open_page):
    pipe = LampPipeline(tiny_lamp)

    def generate(prompt, seconds, seed):
        return pipe(prompt, seconds, seed=seed)

    with ViewerServer(render_page([walker(1, "walks")], ["captured"], live=True), generate) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield open_page(server.url)
        server.shutdown()
        thread.join()


def test_a_typed_prompt_becomes_a_motion(live):
    live.run("byId('prompt').focus(); 0")
    live.type("a person walks forward")
    live.press(" ")  # typed, not played
    assert playing(live)
    live.run("byId('seconds').value = 2; byId('seed').value = 7; 0")
    click(live, "generate")
    live.wait("document.querySelectorAll('#cast li').length === 2")
    live.press("Home")
    assert prompts(live)[1].startswith("a person walks forward")
    assert live.run("document.querySelectorAll('#cast b')[1].textContent") == "seed 7"
    live.screenshot("live")
    live.run("document.querySelector('#cast button').click(); 0")
    assert live.run("[...document.querySelectorAll('#cast b')].map((b) => b.textContent)") == ["seed 7"]
    assert live.troubles() == []


def test_what_the_model_refuses_is_told(live):
    live.run("byId('prompt').value = '@#$ %^&'; 0")
    click(live, "generate")
    live.wait("byId('message').textContent.includes('describe the motion in English')")
    assert not live.run("byId('generate').disabled")
    assert live.run("document.querySelectorAll('#cast li').length") == 1


def test_without_motions_the_prompt_waits(open_page, tiny_lamp):
    with ViewerServer(render_page([], live=True), LampPipeline(tiny_lamp)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        page = open_page(server.url)
        assert page.run("byId('play').disabled")
        page.press(" ")
        page.screenshot("live-empty")
        assert page.troubles() == []
        server.shutdown()
        thread.join()


def test_a_captured_motion(shared_data, open_page, tmp_path):
    from lamp_fast.readers.motion import read_motion

    names = ("bn_2_walk-turn-left_feminine_011.bvh", "bn_2_wave-both-hands_normal_015.bvh", "cmu_016_36.amc")
    motions = [read_motion(shared_data / "raw" / name) for name in names]
    save(motions, tmp_path / "captured.html")
    page = open_page((tmp_path / "captured.html").as_uri(), offline=True)
    page.press(" ")
    page.run("seek(1.0)")
    picture = page.screenshot("captured")
    assert near(picture[:500], LEFT, 120) > 300 and near(picture[:500], RIGHT, 120) > 300
    assert page.troubles() == []
