"""The description of the interface: the ingest is in it, though no view answers it."""

from drf_spectacular.generators import SchemaGenerator


def test_the_ingest_is_described_with_its_key_and_its_results():
    described = SchemaGenerator().get_schema(request=None, public=True)

    ingest = described["paths"]["/events"]["post"]
    assert {name for way in ingest["security"] for name in way} <= set(described["components"]["securitySchemes"])
    assert set(ingest["responses"]) == {"202", "400", "401", "403", "408", "409", "413", "415", "429", "503", "default"}
    assert "Reason" in described["components"]["schemas"]
    assert "get" in described["paths"]["/events"]
