"""Page: one HTML file that needs no other, made of a template and what is to be shown."""

from typing import Any


def render(package: str, template: str, **values: Any) -> str:
    """Return a template of the folder ``templates`` of a package with its values filled in, all of them escaped.

    The template may extend ``base.html``, a page, light or dark as its reader's screen is, with the blocks ``title``,
    ``style`` and ``body``. Raises jinja2's UndefinedError for a value that the template names and nobody gave.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("manifests")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(template).render(values)
