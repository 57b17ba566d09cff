from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.streams import bech32


@pytest.mark.parametrize(
    ("text", "prefix", "size"),
    [  # the valid vectors of BIP 173 whose groups of five make whole bytes
        ("A12UEL5L", "A", 0),
        ("a12uel5l", "a", 0),
        (
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
            None,
            0,
        ),
        ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef", 20),
        ("split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "split", 30),
    ],
)
def test_the_vectors_of_bip_173_are_read(text: str, prefix: str | None, size: int) -> None:
    found, data = bech32.decode(text)
    assert found == (prefix or text.rpartition("1")[0])
    assert len(data) == size
    assert bech32.encode(found.lower(), data) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "pzry9x0s0muk",  # no separator
        "1pzry9x0s0muk",  # no prefix
        "x1b4n0q5v",  # a character outside the alphabet
        "li1dgmt3",  # too short a checksum
        "A1G7SGD8",  # a checksum over the prefix in upper case
        "10a06t8",
        "1qzzfhee",
        "\x201nwldj5",
        "\x7f1axkwrx",
        "A12uEL5L",  # mixed case
        "a12uel5m",  # another last character
        "aé12uel5l",
    ],
)
def test_what_is_not_bech32_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it|its|upper)\b"):
        bech32.decode(text)


@given(st.binary(max_size=80))
def test_data_round_trips_in_either_case(data: bytes) -> None:
    text = bech32.encode("age", data)
    assert bech32.decode(text) == ("age", data)
    assert bech32.decode(text.upper()) == ("AGE", data)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_one_wrong_character_is_noticed(data: bytes, draw: st.DataObject) -> None:
    text = bech32.encode("age", data)
    place = draw.draw(st.integers(min_value=len("age1"), max_value=len(text) - 1))
    other = draw.draw(st.sampled_from([letter for letter in bech32._ALPHABET if letter != text[place]]))
    with pytest.raises(ValueError, match="checksum"):
        bech32.decode(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("values", [[0, 1], [31], [0, 0, 0]])
def test_bits_left_over_are_refused(values: list[int]) -> None:
    sums = bech32._polymod([*bech32._expand("age"), *values, *[0] * 6]) ^ 1
    tail = [(sums >> 5 * (5 - place)) & 31 for place in range(6)]
    text = "age1" + "".join(bech32._ALPHABET[value] for value in [*values, *tail])
    with pytest.raises(ValueError, match="left over"):
        bech32.decode(text)
