"""The front page in a real browser: the address of the bar, the clipboard, the language, and the policy kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright

from proxy.web.headers import PAGE_HEADERS
from proxy.web.pages.front import STATIC, language, render_front

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(),
    reason=f"NO BROWSER: {CHROMIUM} is missing (Debian's package chromium); nothing here was tested",
)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP pypi.lan 127.0.0.1",
]

Serve = Callable[[web.Application], Awaitable[TestServer]]


def make_app() -> web.Application:
    """The front page at `/` and below a prefix, from a server that does not know its own address."""

    async def front(request: web.Request) -> web.Response:
        body = render_front(
            host_url=None,
            language=language(request.headers.get("Accept-Language", ""), request.query.get("lang", "")),
            needs_credentials=True,
            anyone_may_upload=False,
            version="1.2.3",
        )
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=PAGE_HEADERS)

    async def static(request: web.Request) -> web.Response:
        file = STATIC[request.match_info["name"]]
        return web.Response(body=file.body, headers={"Content-Type": file.content_type, "ETag": file.etag})

    app = web.Application()
    for prefix in ("", "/pypi"):
        app.router.add_get(f"{prefix}/", front)
        app.router.add_get(f"{prefix}/-/static/{{name}}", static)
    return app


@pytest.fixture
async def port(aiohttp_server: Serve) -> int:
    server = await aiohttp_server(make_app())
    assert server.port is not None
    return server.port


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def visit(browser: Browser, url: str, *, locale: str = "en-US", clipboard: bool = False) -> AsyncIterator[Page]:
    """A tab at *url*; at the end, nothing was complained of and no other host was asked."""
    context = await browser.new_context(locale=locale, permissions=["clipboard-read"] if clipboard else [])
    page = await context.new_page()
    complaints: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
    response = await page.goto(url)
    assert response is not None
    assert response.status == 200
    yield page
    assert complaints == []
    assert asked == {"/".join(url.split("/")[:3])}
    await context.close()


async def pasted(page: Page) -> str:
    """What Ctrl+V puts into a text field of the page."""
    await page.evaluate(
        "() => { const field = document.createElement('textarea'); document.body.append(field); field.focus() }"
    )
    await page.keyboard.press("Control+V")
    return await page.input_value("textarea")


async def test_the_lines_show_the_address_in_the_bar(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://127.0.0.1:{port}/") as page:
        assert await page.inner_text("#index") == f"http://127.0.0.1:{port}/simple/"
        assert await page.inner_text("#pip-once") == f"pip install --index-url http://127.0.0.1:{port}/simple/ requests"
        assert await page.inner_text("#twine") == f"twine upload --repository-url http://127.0.0.1:{port}/ dist/*"
        assert "machine 127.0.0.1\n" in await page.inner_text("#netrc")
        assert "this-server" not in await page.inner_text("body")


async def test_a_prefix_in_front_of_the_server_is_part_of_the_address(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://127.0.0.1:{port}/pypi/?lang=en") as page:
        assert await page.inner_text("#index") == f"http://127.0.0.1:{port}/pypi/simple/"


async def test_a_name_of_the_lan_over_plain_http_is_named_as_trusted(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://pypi.lan:{port}/") as page:
        url = f"http://pypi.lan:{port}/simple/"
        assert await page.inner_text("#pip-once") == f"pip install --index-url {url} --trusted-host pypi.lan requests"
        assert await page.inner_text("#pip-config") == (
            f"pip config set global.index-url {url}\npip config set global.trusted-host pypi.lan"
        )


async def test_the_copy_button_puts_the_line_on_the_clipboard(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://127.0.0.1:{port}/", clipboard=True) as page:
        assert await page.evaluate("Boolean(navigator.clipboard)")
        button = page.locator("[data-copies=pip-config]")
        await button.click()
        await page.wait_for_function("document.getElementById('told').textContent === 'Copied'")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == f"pip config set global.index-url http://127.0.0.1:{port}/simple/"
        assert await button.inner_text() == "Copied"


async def test_plain_http_without_a_clipboard_api_copies_all_the_same(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://pypi.lan:{port}/") as page:
        assert await page.evaluate("navigator.clipboard === undefined")
        await page.click("[data-copies=pip-config]")
        await page.wait_for_function("document.getElementById('told').textContent === 'Copied'")
        assert await pasted(page) == (
            f"pip config set global.index-url http://pypi.lan:{port}/simple/\n"
            "pip config set global.trusted-host pypi.lan"
        )


async def test_where_copying_is_forbidden_the_line_is_selected(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://pypi.lan:{port}/") as page:
        await page.evaluate("document.execCommand = () => false")
        await page.click("[data-copies=index]")
        await page.wait_for_function("document.getElementById('told').textContent.includes('Ctrl+C')")
        assert await page.evaluate("String(getSelection())") == f"http://pypi.lan:{port}/simple/"


async def test_copying_needs_no_mouse(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://pypi.lan:{port}/") as page:
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "switch"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.dataset.copies") == "index"
        await page.keyboard.press("Enter")
        await page.wait_for_function("document.getElementById('told').textContent === 'Copied'")
        assert await pasted(page) == f"http://pypi.lan:{port}/simple/"


async def test_a_chinese_browser_gets_chinese_and_may_switch(browser: Browser, port: int) -> None:
    async with visit(browser, f"http://127.0.0.1:{port}/", locale="zh-CN") as page:
        assert await page.get_attribute("html", "lang") == "zh-CN"
        assert await page.inner_text("[data-copies=index]") == "复制"
        await page.click("text=English")
        await page.wait_for_selector("html[lang=en]")
        assert await page.inner_text("[data-copies=index]") == "Copy"
        assert await page.inner_text("#index") == f"http://127.0.0.1:{port}/simple/"


async def test_without_scripts_the_page_reads_whole_and_promises_no_button(browser: Browser, port: int) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{port}/")
    assert await page.locator("#pip-once").is_visible()
    assert not await page.locator(".copy").first.is_visible()
    await context.close()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_nothing_is_wider_than_the_screen(browser: Browser, port: int, width: int, lang: str) -> None:
    async with visit(browser, f"http://pypi.lan:{port}/?lang={lang}") as page:
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        assert await page.evaluate(
            "[...document.querySelectorAll('pre')].every((lines) => lines.scrollWidth <= lines.clientWidth)"
        )


async def test_the_policy_stops_what_is_not_ours(browser: Browser, port: int) -> None:
    """So that a page without complaints means something."""
    context = await browser.new_context()
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(f"http://127.0.0.1:{port}/")
    await page.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        " document.body.append(script) }"
    )
    assert await page.evaluate("window.ran === undefined")
    assert any("Content Security Policy" in complaint for complaint in complaints)
    await context.close()
