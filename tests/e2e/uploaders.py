"""The tools that people publish with: how each is told where and as whom, and what it lets a person read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .clients import said
from .publishing import PASSED, Account, Order, Project, Tool, keep, write_pypirc


class Twine(Tool):
    """As it is now; it checks much before it sends."""

    program = "twine"
    requirements: tuple[str, ...] = ("twine==7.0.0", "build==1.6.1", "setuptools==80.10.2")
    build_system = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        # Without any, it would not even ask.
        return self._order(project, "--repository-url", url, "-u", user or "", "-p", password or "")

    def as_configured(self, project: Project, account: Account) -> Order:
        write_pypirc(project.desk, account)
        return self._order(project, "-r", "ours")

    def as_kept(self, project: Project, account: Account) -> Order:
        order = self._order(project, "--repository-url", account.url, "-u", account.user)
        return Order(words=order.words, environment=keep(project.desk, account))

    def _order(self, project: Project, *words: str) -> Order:
        files = [str(file) for file in project.files]
        return Order(words=("upload", "--non-interactive", "--disable-progress-bar", *words, *files), environment={})


class Twine5(Twine):
    """Of 2024, with backends of its time."""

    skips = True
    requirements = ("twine==5.1.1", "build==1.6.1", "setuptools==69.5.1", "wheel==0.43.0")


class Twine3(Twine):
    """Of 2022, as build servers still have it."""

    skips = True
    requirements = (
        "twine==3.8.0",
        "build==1.6.1",
        "importlib-metadata==4.13.0",
        "packaging==26.3",
        "setuptools==65.7.0",
        "wheel==0.38.4",
    )


class Uv(Tool):
    """uv publish."""

    program = "uv"
    build_system = (
        '[build-system]\nrequires = ["uv_build"]\nbuild-backend = "uv_build"\n'
        '[tool.uv.build-backend]\nmodule-root = ""\n'
    )
    without_password = "Missing credentials"

    def build(self, project: Project, name: str) -> None:
        # It is its own backend, where it may be of any version.
        self._write(project, name, "")
        project.desk.uv("build", "--quiet", folder=project.folder)
        (project.folder / "dist" / ".gitignore").unlink(missing_ok=True)

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        who = [*(["-u", user] if user else []), *(["-p", password] if password else [])]
        return self._order(project, "--publish-url", url, *who)

    def as_configured(self, project: Project, account: Account) -> Order:
        names = {"other": PASSED, "ours": account.url}
        lines = [
            f'[[tool.uv.index]]\nname = "{name}"\nurl = "{url.removesuffix("legacy/")}simple/"\npublish-url = "{url}"\n'
            for name, url in names.items()
        ]
        with (project.folder / "pyproject.toml").open("a") as settings:
            settings.writelines(lines)
        who = {"UV_PUBLISH_USERNAME": account.user, "UV_PUBLISH_PASSWORD": account.password, "UV_NO_CONFIG": "0"}
        return Order(words=self._order(project, "--index", "ours").words, environment=who)

    def as_kept(self, project: Project, account: Account) -> Order:
        words = ("--publish-url", account.url, "-u", account.user, "--keyring-provider", "subprocess")
        return Order(words=self._order(project, *words).words, environment=keep(project.desk, account))

    def _order(self, project: Project, *words: str) -> Order:
        files = [str(file) for file in project.files]
        return Order(words=("publish", "--trusted-publishing", "never", *words, *files), environment={})


class UvWithCheck(Uv):
    """uv publish --check-url: what the index has already is not sent."""

    looks = "digests"

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        order = super().as_told(project, url, user, password)
        check = f"{url.removesuffix('legacy/')}simple/"
        return Order(words=[*order.words, "--check-url", check], environment={})


class Poetry(Tool):
    """It builds itself, or takes what stands in `dist`."""

    program = "poetry"
    skips = True
    requirements = ("poetry==2.5.1", "build==1.6.1")
    build_system = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        who = ["-u", user, "-p", password] if user and password else []
        return Order(words=("publish", "-n", "-r", "ours", *who), environment={"POETRY_REPOSITORIES_OURS_URL": url})

    def as_configured(self, project: Project, account: Account) -> Order:
        names = {"other": PASSED, "ours": account.url}
        lines = [f'[repositories.{name}]\nurl = "{url}"\n' for name, url in names.items()]
        settings = project.desk.home / ".config" / "pypoetry"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "config.toml").write_text("".join(lines))
        (settings / "auth.toml").write_text(
            f'[http-basic.ours]\nusername = "{account.user}"\npassword = "{account.password}"\n'
        )
        return Order(words=("publish", "-n", "-r", "ours"), environment={})

    def as_kept(self, project: Project, account: Account) -> Order:
        self.as_configured(project, account)
        auth = project.desk.home / ".config" / "pypoetry" / "auth.toml"
        auth.write_text(f'[http-basic.ours]\nusername = "{account.user}"\n')
        return Order(words=("publish", "-n", "-r", "ours"), environment=keep(project.desk, account))


class Pdm(Tool):
    """It shows a status alone, and names the log in which the answer stands."""

    program = "pdm"
    skips = True
    without_password = "Username and password are required"
    requirements = ("pdm[locked]==2.29.3", "build==1.6.1", "keyring==25.7.0", "pdm-backend==2.5.0")
    build_system = '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        who = ["-u", user, "-P", password] if user and password else []
        return self._order("-r", url, *who)

    def as_configured(self, project: Project, account: Account) -> Order:
        settings = project.desk.home / ".config" / "pdm"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "config.toml").write_text(
            f'[repository.other]\nurl = "{PASSED}"\n[repository.ours]\nurl = "{account.url}"\n'
            f'username = "{account.user}"\npassword = "{account.password}"\n'
        )
        return self._order("-r", "ours")

    def as_kept(self, project: Project, account: Account) -> Order:
        return self._order("-r", account.url, "-u", account.user, **keep(project.desk, account))

    def read(self, done: subprocess.CompletedProcess[str]) -> str:
        named = re.search(r"See (\S+\.log) for", said(done))
        return super().read(done) + (Path(named[1]).read_text() if named else "")

    def _order(self, *words: str, **environment: str) -> Order:
        return Order(words=("publish", "--no-build", *words), environment={"PDM_CHECK_UPDATE": "false", **environment})


class Hatch(Tool):
    """It looks at `+simple` first, and leaves out what stands there."""

    program = "hatch"
    looks = "names"
    without_password = "Missing required option: user"
    requirements = ("hatch==1.18.2", "build==1.6.1")
    build_system = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        who = [*(["-u", user] if user else []), *(["-a", password] if password else [])]
        return self._order(project, "-r", url, *who)

    def as_configured(self, project: Project, account: Account) -> Order:
        # It knows the servers of .pypirc by their addresses.
        write_pypirc(project.desk, account)
        return self._order(project, "-r", account.url)

    def as_kept(self, project: Project, account: Account) -> Order:
        order = self._order(project, "-r", account.url, "-u", account.user)
        return Order(words=order.words, environment=keep(project.desk, account))

    def _order(self, project: Project, *words: str) -> Order:
        files = [str(file) for file in project.files]
        return Order(words=("publish", "-n", *words, *files), environment={})


class Flit(Tool):
    """It builds whenever it publishes, and reads the reason of a 400 alone."""

    program = "flit"
    without_password = "Could not find username for upload."
    requirements = ("flit==4.2.0", "keyring==25.7.0")
    build_system = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'

    def make(self, project: Project, name: str, *, payload: str = "") -> None:
        self._write(project, name, payload)
        self._build(project, "--format", "wheel")

    def build(self, project: Project, name: str) -> None:
        self._write(project, name, "")
        self._build(project)

    def _build(self, project: Project, *words: str) -> None:
        done = self.publish(project, Order(words=("build", *words), environment={}))
        assert done.returncode == 0, said(done)

    def as_told(self, project: Project, url: str, user: str | None, password: str | None) -> Order:
        told = {"FLIT_INDEX_URL": url, "FLIT_USERNAME": user, "FLIT_PASSWORD": password}
        return self._order(project, **{key: value for key, value in told.items() if value})

    def as_configured(self, project: Project, account: Account) -> Order:
        write_pypirc(project.desk, account)
        order = self._order(project)
        return Order(words=(*order.words, "--repository", "ours"), environment={})

    def as_kept(self, project: Project, account: Account) -> Order:
        told = {"FLIT_INDEX_URL": account.url, "FLIT_USERNAME": account.user}
        return self._order(project, **told, **keep(project.desk, account))

    def _order(self, project: Project, **environment: str) -> Order:
        kinds = () if len(project.files) > 1 else ("--format", "wheel")
        return Order(words=("publish", *kinds), environment=environment)


TOOLS: Mapping[str, type[Tool]] = {
    "twine": Twine,
    "twine-5": Twine5,
    "twine-3": Twine3,
    "uv": Uv,
    "uv-check-url": UvWithCheck,
    "poetry": Poetry,
    "pdm": Pdm,
    "hatch": Hatch,
    "flit": Flit,
}
