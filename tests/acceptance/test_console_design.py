"""What all pages share, in a browser: the menu, messages, questions, errors beside fields."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from service.core.database.transactions import Database
from tests.conftest import PASSWORD, USER
from tests.support import browser as browsers
from tests.support.browser import Seen
from tests.support.program import Service

pytestmark = [
    pytest.mark.skipif(browsers.chromium() is None, reason="no Chromium was found"),
    pytest.mark.usefixtures("database"),
]


@pytest.fixture(params=["light", "dark"])
async def narrow(
    browser: Browser,
    service: Service,
    seen: Seen,
    database: Database,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Page]:
    """The page of backups on a small screen."""
    scheme: Literal["light", "dark"] = request.param
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": 380, "height": 640}}
    address = f"http://127.0.0.1:{service.port}"
    async with browsers.opened(browser, address, USER, PASSWORD, seen, **options) as page:
        await page.goto("/console/backups")
        yield page
    assert seen.errors == []


async def call(page: Page, expression: str) -> Any:
    """The value of an expression with the exports of console.js as `shared`."""
    return await page.evaluate(
        f"import('/console/static/console.js').then((shared) => {expression})"
    )


async def accessible(page: Page) -> bool:
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    return True


async def test_the_menu_works_by_keyboard(narrow: Page) -> None:
    pages = narrow.get_by_role("navigation", name="Pages")
    await expect(pages).to_be_hidden()
    await narrow.get_by_role("button", name="Menu").press("Enter")
    await expect(pages.get_by_role("link", name="Backups")).to_have_attribute(
        "aria-current", "page"
    )
    assert await accessible(narrow)
    await narrow.keyboard.press("Escape")
    await expect(pages).to_be_hidden()
    await narrow.get_by_role("button", name="Menu").press("Enter")
    await narrow.keyboard.press("Tab")
    await expect(pages.get_by_role("link", name="Overview")).to_be_focused()
    await pages.get_by_role("link", name="Reports").press("Enter")
    await expect(narrow.get_by_role("heading", name="Reports", exact=True)).to_be_visible()


async def test_a_message_is_announced_and_can_be_closed(narrow: Page) -> None:
    await call(narrow, "shared.toast('Row 7 is saved.')")
    message = narrow.get_by_role("status").get_by_text("Row 7 is saved.")
    await expect(message).to_be_visible()
    assert await accessible(narrow)
    await narrow.get_by_role("button", name="Close").click()
    await expect(message).to_be_hidden()
    await call(narrow, "shared.toastNext('Row 8 is deleted.')")
    await narrow.goto("/console/load")
    await expect(narrow.get_by_text("Row 8 is deleted.")).to_be_visible()
    await narrow.reload()
    await expect(narrow.get_by_text("Row 8 is deleted.")).to_have_count(0)


async def test_a_question_is_answered_with_no_unless_its_action_is_pressed(narrow: Page) -> None:
    answers = []
    for key, button in [("Escape", "Cancel"), ("Enter", "Cancel"), ("Enter", "Delete")]:
        await narrow.get_by_role("button", name="Make a backup").focus()
        await call(narrow, "{ window.answer = shared.confirmed('Row 7 is lost.', 'Delete'); }")
        dialog = narrow.get_by_role("dialog", name="Are you sure?")
        await expect(dialog).to_contain_text("Row 7 is lost.")
        await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        assert await accessible(narrow)
        await dialog.get_by_role("button", name=button).press(key)
        answers.append(await narrow.evaluate("window.answer"))
        await expect(narrow.get_by_role("button", name="Make a backup")).to_be_focused()
    assert answers == [False, False, True]


async def test_errors_are_beside_their_fields_and_others_at_the_top(narrow: Page) -> None:
    problem = """{detail: "No.", failures: [{errors: [
        {field: "table", message: "table is not known"}, {field: "other", message: "And this."}
    ]}]}"""
    await call(narrow, f"shared.showProblem({problem}, document.forms.backup)")
    field = narrow.get_by_role("combobox")
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(narrow.locator("#error-table")).to_have_text("table is not known")
    await expect(narrow.get_by_role("alert")).to_have_text("And this.")
    assert await accessible(narrow)
    await call(narrow, "shared.clearProblem(document.forms.backup)")
    await expect(narrow.get_by_role("alert")).to_be_hidden()
    await expect(narrow.locator(".error")).to_have_count(0)
    await call(narrow, "shared.showProblem({detail: 'The table is locked.'})")
    await expect(narrow.get_by_role("alert")).to_have_text("The table is locked.")


async def test_a_request_without_an_answer_is_a_problem(narrow: Page, seen: Seen) -> None:
    await narrow.route("**/departments", lambda route: route.abort())
    reply = await call(narrow, "shared.send('POST', '/departments', {department: 'Art'})")
    assert (reply["ok"], reply["status"]) == (False, 0)
    assert "does not answer" in reply["body"]["detail"]
    seen.errors.clear()
    await narrow.unroute("**/departments")
    reply = await call(narrow, "shared.send('POST', '/departments', {department: ''})")
    assert (reply["ok"], reply["status"]) == (False, 422)
    assert seen.errors.pop()
    reply = await call(narrow, "shared.send('POST', '/departments', {department: 'Art'})")
    assert (reply["ok"], reply["body"]["inserted"]) == (True, 1)
