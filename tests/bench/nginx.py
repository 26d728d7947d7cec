"""nginx, as the mirror behind the bench and as the cache beside us: what its configuration says, and why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from .processes import HOST

RATE = 20 * 1024 * 1024
"""Bytes a second that a mirror gives one connection."""

LOG = "requests.log"
"""The access log's name in the folder of a mirror: lines of `access.Request`."""

LOG_FORMAT = (
    '{"at":$msec,"port":$server_port,"status":$status,"bytes":$bytes_sent,"method":"$request_method",'
    '"path":"$uri","range":"$http_range","connection":$connection}'
)

_FRAME = """\
daemon off;
{user}
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  sendfile on; tcp_nopush on; keepalive_timeout 65; keepalive_requests 1000000;
{body}}}
"""

_KINDS = """\
    "~*application/vnd\\.pypi\\.simple\\.v1\\+json" ".v1_json";
    "~*application/vnd\\.pypi\\.simple\\.v1\\+html" ".v1_html";
"""

_MIRROR = """\
  log_format requests escape=json '{log_format}';
  access_log {folder}/{log} requests;
  map $http_accept $suffix {{
    default ".html";
{kinds}    "~*text/html" ".html";
  }}
  server {{
    {listen}
    root {tree}; default_type application/octet-stream; absolute_redirect off;
    # Without sendfile_max_chunk the first 2 MiB of every answer would come at once.
    limit_rate {rate}; sendfile_max_chunk 512k;
    rewrite ^/simple/(?!index\\.v1_)([^/_]*)_([^/]*)/?$ /simple/$1-$2/ permanent;
    location /simple/ {{
      index index$suffix;
      types {{
        application/vnd.pypi.simple.v1+json v1_json;
        application/vnd.pypi.simple.v1+html v1_html;
        text/html html;
      }}
      charset utf-8; charset_types text/html;
      add_header Vary Accept; add_header Cache-Control "max-age=600, public";
    }}
    location /packages/ {{ types {{ }} add_header Cache-Control "max-age=365000000, immutable, public"; }}
    location /pypi/ {{ types {{ }} default_type application/json; }}
  }}
"""

_CACHE = """\
  access_log {folder}/access.log;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=bench:16m max_size=20g inactive=7d use_temp_path=off;
  upstream mirrors {{
    {servers}
    {keepalive}
  }}
  {gzip}
  server {{
    listen {host}:{port} backlog=1024;
    location / {{
      proxy_pass http://mirrors; proxy_cache bench; proxy_cache_lock on; proxy_cache_lock_timeout 60s;
      proxy_cache_use_stale error timeout updating http_502 http_503 http_504; proxy_cache_background_update on;
      proxy_next_upstream error timeout http_502 http_503 http_504;
      {http11}
    }}
  }}
"""

_GZIP = "gzip on; gzip_proxied any; gzip_types application/vnd.pypi.simple.v1+json application/vnd.pypi.simple.v1+html;"

KEEPALIVE = 64
"""Idle connections to the mirrors that a worker keeps: more than uv ever opens."""


def program() -> str | None:
    """nginx's path; Debian keeps it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/bin")


def mirror(folder: Path, tree: Path, ports: Sequence[int], rate: int = RATE, *, html: bool = False) -> Path:
    """Write into *folder* the configuration of one server of *tree* on *ports*; *rate* 0 is as fast as it can.

    *html*: it knows no other representation of a page.
    """
    body = _MIRROR.format(
        log_format=LOG_FORMAT,
        folder=folder,
        log=LOG,
        kinds="" if html else _KINDS,
        listen=" ".join(f"listen {HOST}:{port} backlog=1024;" for port in ports),
        tree=tree,
        rate=rate,
    )
    return _write(folder, body, workers=2)


def cache(folder: Path, mirrors: Sequence[str], port: int, *, keepalive: bool, gzip: bool = False) -> Path:
    """Write into *folder* the configuration of a `proxy_cache` on *port* before *mirrors* (URLs).

    *keepalive*: reuse connections to the mirrors, which takes three more lines than the plain `proxy_pass` has.
    *gzip*: compress pages for clients that ask for it, as Debian's own nginx.conf does for HTML.
    One worker: idle connections belong to a worker, so that two would find half of them each.
    """
    body = _CACHE.format(
        folder=folder,
        servers=" ".join(f"server {urlsplit(url).netloc};" for url in mirrors),
        keepalive=f"keepalive {KEEPALIVE};" if keepalive else "",
        gzip=_GZIP if gzip else "",
        host=HOST,
        port=port,
        http11='proxy_http_version 1.1; proxy_set_header Connection "";' if keepalive else "",
    )
    return _write(folder, body, workers=1)


def _write(folder: Path, body: str, *, workers: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    # Of root's own, workers would become nobody, and find every folder closed.
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(_FRAME.format(user=user, folder=folder, workers=workers, body=body), encoding="utf-8")
    return path
