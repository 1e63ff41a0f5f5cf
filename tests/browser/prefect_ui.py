"""Prefect's pages as a person uses them: by what is written on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

#: Milliseconds for a page to show something, on a busy machine.
PATIENCE = 60_000


class Field:
    """A field or a section of the form, found by its name, with what lies in it.

    Names are those of the configuration (``volumes``), which the page shows as titles (``Volumes (Optional)``).
    """

    def __init__(self, place: Locator) -> None:
        self.place = place

    def __getitem__(self, name: str) -> Field:
        shown = name.replace("_", " ").title()
        titles = " or ".join(f"normalize-space()='{text}'" for text in (name, shown, f"{shown} (Optional)"))
        header = "./div[contains(@class,'p-label__header')]//span[contains(@class,'schema-form-property__label')]"
        own = "div[contains(concat(' ',@class,' '),' p-label ')]"
        # The nearest one below: sections of one name lie at several depths.
        found = self.place.locator(f"xpath=.//{own}[{header}[{titles}]]")
        depths = [f.locator(f"xpath=ancestor::{own}").count() for f in found.all()]
        return Field(found.nth(depths.index(min(depths))))

    def choose(self, kind: str) -> Field:
        """Press one of the buttons that say what the field holds."""
        self.place.get_by_role("button", name=kind, exact=True).first.click()
        return self

    def write(self, text: str) -> None:
        self.place.locator("textarea, input").first.fill(text)

    def write_all(self, *texts: object) -> None:
        """Each item of a list of fixed length."""
        inputs = self.place.locator("input")
        for k, text in enumerate(texts):
            inputs.nth(k).fill(str(text))

    @property
    def value(self) -> str:
        return self.place.locator("textarea, input").first.input_value()

    @property
    def values(self) -> list[str]:
        return [item.input_value() for item in self.place.locator("input").all()]

    @property
    def text(self) -> str:
        return self.place.inner_text()


def open_form(page: Page, ui: str, deployment: str) -> Field:
    """The form that starts a run of a deployment (its id)."""
    page.goto(f"{ui}/deployments/deployment/{deployment}/run")
    page.get_by_text("configuration", exact=True).first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(500)
    return Field(page.locator("body"))["configuration"]


def open_run(page: Page, ui: str, run: str) -> None:
    """The page of a flow run (its id)."""
    page.goto(f"{ui}/runs/flow-run/{run}")
    page.get_by_role("tab", name="Artifacts").or_(page.get_by_text("Artifacts", exact=True)).first.wait_for(
        timeout=PATIENCE
    )


def wait_for_state(page: Page, state: str, patience: float) -> None:
    """Watch a run's page until it shows a state (seconds of patience)."""
    page.locator(".state-badge, .p-tag, .p-badge", has_text=state).first.wait_for(timeout=patience * 1000)
