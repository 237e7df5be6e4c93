"""What every embedder must do. Subclass `EmbedderContract` and give it an embedder that is started and ready."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beastmode.core.plugins import Embedder, Embedding

TEXTS = [
    "",
    " ",
    "a",
    "How do I sort a list in descending order?",
    "def f(x):\n\treturn x ** 2\r\n",
    "Größe, naïve Ελλάδα, 你好 🦁\u200d\u0301",
    "\x00\x01\ud800\udfff\ufffd",
    "x" * 5000,
    "https://example.com/a/b?c=d#e",
    "-1.5e-10 != 0x1F && (a || b)",
]


class EmbedderContract:
    """Tests that hold for any embedder.

    `embedder` is a fixture of the subclass.
    """

    similar = ("sort the list in descending order", "sort the list in descending order, please")
    unlike = "a recipe for lentil soup"

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Embedder:
        """An embedder that is started and ready."""
        raise NotImplementedError

    def whole(self, embedder: Embedder, embedding: Embedding | None) -> Embedding:
        assert embedding is not None
        assert embedding.vector.dtype == np.float32
        assert embedding.vector.shape == (embedder.dim,)
        assert np.isfinite(embedding.vector).all()
        assert float(np.linalg.norm(embedding.vector)) == pytest.approx(1.0, abs=1e-3)
        assert len(embedding.pieces) <= embedder.max_pieces
        if embedding.token_vectors is not None:
            assert embedding.token_vectors.dtype == np.float16
            assert embedding.token_vectors.shape == (len(embedding.pieces), embedder.dim)
            lengths = np.linalg.norm(embedding.token_vectors.astype(np.float32), axis=1)
            assert lengths == pytest.approx(np.ones(len(embedding.pieces)), abs=0.01)
        return embedding

    def test_it_names_itself_and_its_sizes(self, embedder: Embedder) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", embedder.id)
        assert embedder.dim > 0
        assert embedder.max_pieces > 0
        assert embedder.ready() is None

    @pytest.mark.parametrize("text", TEXTS)
    def test_any_text_has_a_vector_of_length_one(self, embedder: Embedder, text: str) -> None:
        self.whole(embedder, embedder.embed(text))

    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.differing_executors])
    @given(st.text(st.characters(), max_size=60))
    def test_whatever_is_written_has_a_vector_of_length_one(self, embedder: Embedder, text: str) -> None:
        self.whole(embedder, embedder.embed(text))

    def test_the_same_text_gives_the_same_bytes_whatever_came_before(self, embedder: Embedder) -> None:
        first = {text: self.whole(embedder, embedder.embed(text)) for text in TEXTS}
        for text in reversed(TEXTS):
            again = self.whole(embedder, embedder.embed(text))
            assert again.vector.tobytes() == first[text].vector.tobytes()
            assert again.pieces == first[text].pieces
            if again.token_vectors is not None:
                known = first[text].token_vectors
                assert known is not None
                assert again.token_vectors.tobytes() == known.tobytes()

    def test_what_is_similar_lies_closer_than_what_is_not(self, embedder: Embedder) -> None:
        one, two = (self.whole(embedder, embedder.embed(text)).vector for text in self.similar)
        other = self.whole(embedder, embedder.embed(self.unlike)).vector
        assert one @ two > 0.8
        assert one @ two > one @ other + 0.2

    def test_a_text_is_embedded_up_to_the_longest_and_not_beyond(self, embedder: Embedder) -> None:
        longest = " ".join(["a"] * embedder.max_pieces)
        assert len(self.whole(embedder, embedder.embed(longest)).pieces) == embedder.max_pieces
        assert embedder.embed(longest + " a") is None
        assert embedder.embed("a " * 1_000_000) is None

    def test_an_embedding_is_not_changed_by_the_next_one(self, embedder: Embedder) -> None:
        first = self.whole(embedder, embedder.embed("one text"))
        before = first.vector.tobytes()
        embedder.embed("another text")
        assert first.vector.tobytes() == before

    async def test_closing_it_twice_is_harmless(self, embedder: Embedder) -> None:
        await embedder.close()
        await embedder.close()
