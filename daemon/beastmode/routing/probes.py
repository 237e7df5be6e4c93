"""Testing an endpoint before it is relied on, and finding the model servers that already run on this machine."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterable, Mapping
from typing import Literal

import aiohttp
import msgspec

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import (
    AuthenticationError,
    BadRequestError,
    BeastError,
    ContextTooLongError,
    EndpointUnreachableError,
    InternalError,
    UpstreamTimeoutError,
)
from beastmode.core.plugins import Call, Provider
from beastmode.core.types import Message, Request, Usage

StepName = Literal["reachable", "key", "model", "reply"]

DISCOVER_TIMEOUT_S = 0.3
LIST_MAX_BYTES = 4 << 20

USUAL_PORTS: Mapping[int, str] = {
    11434: "Ollama",
    1234: "LM Studio",
    8000: "vLLM",
    8080: "llama.cpp, llamafile or LocalAI",
    1337: "Jan",
    5000: "text-generation-webui",
    5001: "KoboldCpp",
}
_OWNERS = {
    "library": "Ollama",
    "organization_owner": "LM Studio",
    "vllm": "vLLM",
    "llamacpp": "llama.cpp",
    "localai": "LocalAI",
    "koboldcpp": "KoboldCpp",
}


class Step(msgspec.Struct, frozen=True):
    """One thing that was tested.

    Attributes:
        name: reachable, key, model or reply.
        ok: It passed.
        detail: What was seen, in one sentence.
    """

    name: StepName
    ok: bool
    detail: str


class Asked(msgspec.Struct, frozen=True):
    """The one token that was asked for.

    Attributes:
        latency_ms: How long that took.
        usage: Tokens; None is unknown.
        error: How it failed; None where it did not.
    """

    latency_ms: float
    usage: Usage | None = None
    error: BeastError | None = None


class ProbeResult(msgspec.Struct, kw_only=True):
    """What a test of an endpoint found.

    Attributes:
        ok: Everything passed.
        steps: What was tested, in this order; what comes after a failure was not.
        latency_ms: Duration of the last call that got an answer; None where none did.
        models: The endpoint's own list, where it has one.
        error: What failed, with kind and tips; None where nothing did.
        asked: What may have cost money; None where the endpoint's list was enough.
    """

    ok: bool
    steps: list[Step]
    latency_ms: float | None = None
    models: list[str] = []
    error: BeastError | None = None
    asked: Asked | None = None

    @property
    def kind(self) -> str | None:
        """Kind of what failed."""
        return self.error.kind if self.error else None

    @property
    def tips(self) -> list[str]:
        """What to do about it."""
        return self.error.tips if self.error else []


async def probe(
    deployment: Deployment,
    key: str | None,
    provider: Provider,
    timeout_s: float,
    *,
    clock: Clock,
    limit_s: float | None = None,
    thorough: bool = True,
) -> ProbeResult:
    """Tests an endpoint: reachable, key, model, reply; by its model list, else with one token of output.

    A list that is also shown without the key proves nothing about the key, and a list without the wanted name does
    not prove that the name is wrong (aliases): both are settled by one token.

    Args:
        deployment: What to test; it needs not be registered.
        key: The key that goes with it.
        provider: The plugin that speaks its protocol.
        timeout_s: Longest silence in each call.
        clock: Measures the latency.
        limit_s: Longest duration of the whole test; None: there is none.
        thorough: False: a list with the model in it is enough, whatever it says of the key.
    """
    test = _Probe(deployment, key, provider, timeout_s, clock, thorough)
    try:
        async with asyncio.timeout(limit_s):
            return await test.run()
    except TimeoutError:
        return test.too_late(limit_s or 0.0)


class _Probe:
    def __init__(
        self,
        deployment: Deployment,
        key: str | None,
        provider: Provider,
        timeout_s: float,
        clock: Clock,
        thorough: bool,
    ) -> None:
        self._deployment = deployment
        self._thorough = thorough
        self._key = key
        self._provider = provider
        self._timeout_s = timeout_s
        self._clock = clock
        self._result = ProbeResult(ok=False, steps=[])
        self._asking_since_s: float | None = None

    def _pass(self, name: StepName, detail: str) -> None:
        self._result.steps.append(Step(name, True, detail))

    def _fail(self, name: StepName, error: BeastError) -> ProbeResult:
        self._result.steps.append(Step(name, False, error.message))
        self._result.error = error
        return self._result

    def _done(self) -> ProbeResult:
        self._result.ok = True
        return self._result

    def too_late(self, limit_s: float) -> ProbeResult:
        """What was found until the time was over."""
        where = self._deployment.base_url or "this machine"
        error = UpstreamTimeoutError(
            f"{where} did not come to an answer within {limit_s:g} s.",
            tips=["see whether the endpoint is overloaded: its own log says what it does", "try again"],
            model=self._deployment.model,
            endpoint=self._deployment.base_url or None,
        )
        if self._asking_since_s is not None and self._result.asked is None:
            self._note_asked(error=error)
        return self._fail("reply" if self._result.steps else "reachable", error)

    def _note_asked(self, usage: Usage | None = None, error: BeastError | None = None) -> None:
        began_s = self._asking_since_s or 0.0
        self._result.asked = Asked((self._clock.mono_s() - began_s) * 1000, usage, error)

    async def run(self) -> ProbeResult:
        where = self._deployment.base_url or "this machine"
        begun_s = self._clock.mono_s()
        listed: list[str] = []
        try:
            listed = await self._list(self._key)
        except (EndpointUnreachableError, UpstreamTimeoutError, InternalError) as error:
            return self._fail("reachable", error)
        except AuthenticationError as error:
            self._pass("reachable", f"{where} answers")
            return self._fail("key", error)
        except BeastError:
            listed = []  # no list: the reply itself is the test
        self._result.latency_ms = (self._clock.mono_s() - begun_s) * 1000
        self._result.models = listed
        self._pass("reachable", f"{where} answers")
        wanted = self._deployment.upstream_model
        if is_listed(wanted, listed) and (not self._thorough or await self._list_proves_key()):
            accepts = "the endpoint accepts it" if self._thorough else "was not refused"
            self._pass("key", accepts if self._key else "none was sent and none is needed")
            self._pass("model", f"{wanted} is in its list of {len(listed)} models")
            return self._done()
        return await self._ask(listed)

    async def _list(self, key: str | None) -> list[str]:
        try:
            return await self._provider.models(self._deployment, key, self._timeout_s)
        except BeastError:
            raise
        except Exception as error:
            raise self._fault(error) from error

    async def _list_proves_key(self) -> bool:
        """A list that needs no key says nothing about the key, nor about the need of one."""
        if self._key is None:  # what has no TLS is nearby, and seldom asks for a key
            return not self._provider.needs_key and not self._deployment.base_url.startswith("https:")
        try:
            await self._list(None)
        except AuthenticationError:
            return True
        except BeastError:
            return False
        return False

    async def _ask(self, listed: list[str]) -> ProbeResult:
        """Asks for one token."""
        begun_s = self._asking_since_s = self._clock.mono_s()
        request = Request(
            model=self._deployment.model,
            messages=[Message(role="user", content="Hi")],
            params={"max_tokens": 1},
            origin="probe",
            client="probe",
        )
        call = Call(request=request, deployment=self._deployment, key=self._key, timeout_s=self._timeout_s)
        try:
            completion = await self._provider.call(call, None)
        except BeastError as error:
            self._note_asked(error=error)
            return self._judge(error, listed)
        except Exception as error:
            fault = self._fault(error)
            self._note_asked(error=fault)
            return self._judge(fault, listed)
        self._note_asked(completion.usage)
        self._result.latency_ms = (self._clock.mono_s() - begun_s) * 1000
        wanted = self._deployment.upstream_model
        self._pass("key", "the endpoint accepts it" if self._key else "none was sent and none is needed")
        known = is_listed(wanted, listed) or not listed
        self._pass("model", f"{wanted} answers" + ("" if known else ", though it is not in the endpoint's own list"))
        self._pass("reply", "one token came, well-formed")
        return self._done()

    def _judge(self, error: BeastError, listed: list[str]) -> ProbeResult:
        """Says which step a failed call failed at."""
        if isinstance(error, EndpointUnreachableError):
            self._result.steps.clear()
            return self._fail("reachable", error)
        if isinstance(error, AuthenticationError):
            return self._fail("key", error)
        self._pass("key", "was not refused" if self._key else "none was sent and none was asked for")
        wanted = self._deployment.upstream_model
        unlisted = bool(listed) and not is_listed(wanted, listed)
        if unlisted:
            error.tips = [*_nearest(wanted, listed), *error.tips]
        if error.status == 404 or (unlisted and isinstance(error, BadRequestError)):
            return self._fail("model", error)
        self._pass("model", f"{wanted} was asked for")
        if isinstance(error, ContextTooLongError):
            error.tips = ["the endpoint takes not even one word: look at its context length", *error.tips]
        return self._fail("reply", error)

    def _fault(self, error: Exception) -> InternalError:
        return InternalError(
            f"The provider plugin {self._deployment.provider} failed with {type(error).__name__}.",
            tips=["this is a fault of the plugin; see its traceback in the log"],
            model=self._deployment.model,
            endpoint=self._deployment.base_url or None,
        )


def is_listed(wanted: str, listed: Iterable[str]) -> bool:
    """Says whether a model's name is in an endpoint's list; `name` also means `name:latest`, as with Ollama.

    Args:
        wanted: The name.
        listed: The list.
    """
    return any(name in (wanted, f"{wanted}:latest") for name in listed)


def _nearest(wanted: str, listed: list[str]) -> list[str]:
    low = {name.lower(): name for name in listed}
    near = [low[name] for name in difflib.get_close_matches(wanted.lower(), low, n=3, cutoff=0.5)]
    within = [name for name in listed if wanted.lower() in name.lower()][:3]
    found = list(dict.fromkeys([*near, *within]))[:3]
    if found:
        return [f"did you mean --upstream-model {' or '.join(found)}?"]
    return [f"the endpoint offers: {', '.join(listed[:8])}" + (" ..." if len(listed) > 8 else "")]


class Found(msgspec.Struct, frozen=True):
    """A model server that runs on this machine.

    Attributes:
        base_url: As `beast models add` takes it.
        kind: Which program it is, as far as it shows.
        models: What it offers.
    """

    base_url: str
    kind: str
    models: list[str]


class _Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None


class _List(msgspec.Struct):
    data: list[_Listed]
    object: str | None = None


async def discover(
    http: aiohttp.ClientSession,
    *,
    ports: Mapping[int, str] = USUAL_PORTS,
    timeout_s: float = DISCOVER_TIMEOUT_S,
) -> list[Found]:
    """Asks the usual ports of this machine for a model list, all at once.

    Args:
        http: The daemon's HTTP session.
        ports: Ports and the program that is usually there.
        timeout_s: Longest wait for each.

    Returns:
        The servers whose answer is a model list in OpenAI's shape, by port; a web page or an error is none.
    """
    answers = await asyncio.gather(*(_look(http, port, kind, timeout_s) for port, kind in sorted(ports.items())))
    return [one for one in answers if one is not None]


async def _look(http: aiohttp.ClientSession, port: int, kind: str, timeout_s: float) -> Found | None:
    base_url = f"http://127.0.0.1:{port}/v1"
    try:
        async with asyncio.timeout(timeout_s), http.get(f"{base_url}/models", allow_redirects=False) as reply:
            if reply.status != 200:
                return None
            content = await reply.content.read(LIST_MAX_BYTES + 1)
            while len(content) <= LIST_MAX_BYTES and (more := await reply.content.read(LIST_MAX_BYTES)):
                content += more
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    return _as_found(content, base_url, kind)


def _as_found(content: bytes, base_url: str, kind: str) -> Found | None:
    if len(content) > LIST_MAX_BYTES:
        return None
    try:
        answer = msgspec.json.decode(content, type=_List)
    except (ValueError, RecursionError):
        return None
    listed = answer.data
    if not listed and answer.object != "list":
        return None
    owner = next((one.owned_by for one in listed if one.owned_by), "")
    return Found(base_url, _OWNERS.get((owner or "").lower(), kind), [one.id for one in listed])
