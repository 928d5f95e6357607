"""What the page of a store says of other networks."""

from outline import HEAD, Outline

from experiments.claims import record
from experiments.report import page as report

CLAIMS = [
    {"task": title, "id": "23", "says": "the force <contracts>", "verdict": verdict}
    for title, verdict in {"mnist1d / mlp": "SUPPORTED", "mnist1d / cnn": "COLLAPSE"}.items()
]


def test_claims_stand_by_network_under_what_came_out():
    matrix = record.matrix(CLAIMS)
    data = {"summary": ["supported on <one>"], "claims": matrix, "generic": matrix, "pictures": {"logdet": "data:x"}}
    page = report.render("A title", HEAD, [report.Section("architectures", "Other networks", data)], {})
    text = Outline(page).text
    assert "supported on <one>" in text
    assert page.count('data-label="mnist1d / cnn: "') == 2 * 2, "a claim and the count, in two tables"
    assert text.count("⊘ COLLAPSE") == 2
    assert "data:x" in [image.get("src") for image in Outline(page).all("img")]
