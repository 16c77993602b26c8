/* What stands around the status page: style, and the script that fetches the page again and puts
 * the new <main> in the old one's place. Without script the page loads itself anew. */
#include "admin/status_priv.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#59636e;"
    "--line:#d8dee4;--good:#116329;--goodbg:#e3f5e7;--warn:#7d4e00;--warnbg:#fff4d6;"
    "--bad:#b3121f;--badbg:#fde7e9;--curve:#0a5cc2;--area:#0a5cc21f}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#171b22;--ink:#e8ebef;"
    "--soft:#9aa4af;--line:#2c333c;--good:#5fd07a;--goodbg:#12261a;--warn:#eab54a;"
    "--warnbg:#2b2210;--bad:#ff8a8a;--badbg:#321519;--curve:#6cb0ff;--area:#6cb0ff26}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"
    "\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif}"
    "header,main,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}"
    "header{display:flex;justify-content:space-between;align-items:baseline;gap:1rem;"
    "padding-top:1rem;padding-bottom:.75rem}"
    "header b{font-size:1.05rem;letter-spacing:.01em}"
    "header span,footer{color:var(--soft);font-size:.875rem}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;"
    "padding:1rem 1.25rem;margin:0 0 1rem;min-width:0}"
    ".verdict{border-left:.4rem solid}.verdict h1{font-size:1.45rem;line-height:1.3;margin:0;"
    "overflow-wrap:anywhere;text-wrap:pretty}"
    ".verdict p{margin:.4rem 0 0;color:var(--ink)}.verdict .detail{font-weight:500;"
    "overflow-wrap:anywhere}.verdict ul{margin:.75rem 0 0;padding:0 0 0 "
    "1.1rem}.verdict li{margin:.35rem 0;overflow-wrap:anywhere}"
    ".verdict.good{background:var(--goodbg);border-color:var(--good)}"
    ".verdict.warn{background:var(--warnbg);border-color:var(--warn)}"
    ".verdict.bad{background:var(--badbg);border-color:var(--bad)}"
    ".good h1,span.good,strong.good{color:var(--good)}.warn h1,strong.warn{color:var(--warn)}"
    ".bad h1,span.bad,strong.bad,.card.bad .now{color:var(--bad)}"
    "h2{font-size:1rem;margin:0 0 .6rem}h3{font-size:.875rem;font-weight:500;color:var(--soft);"
    "margin:0}"
    ".cards{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:1.5rem}"
    ".now{font-size:1.6rem;font-weight:600;line-height:1.25;margin:0 0 .35rem;"
    "font-variant-numeric:tabular-nums}"
    ".card svg{display:block;width:100%;height:3rem;border-bottom:1px solid var(--line)}"
    ".line{fill:none;stroke:var(--curve);stroke-width:1.75;vector-effect:non-scaling-stroke;"
    "stroke-linejoin:round}.area{fill:var(--area)}"
    ".scale{display:flex;justify-content:space-between;margin:.2rem 0 0;font-size:.75rem;"
    "color:var(--soft);white-space:nowrap}"
    "dl{margin:0}dt{font-size:.875rem;color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}"
    ".gauges{display:grid;grid-template-columns:repeat(5,minmax(0,1fr));gap:.75rem 1.5rem;"
    "border-top:1px solid var(--line);margin-top:1rem;padding-top:.75rem}"
    ".gauges dd{font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums}"
    ".facts{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.75rem 1.5rem}"
    ".columns{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 1rem;"
    "align-items:start}.columns>div{min-width:0}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}"
    "th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;"
    "border-top:1px solid var(--line);overflow-wrap:anywhere;font-weight:400}"
    "tbody th{font-weight:500}"
    "thead th,thead td{border-top:0;padding-top:0;color:var(--soft);font-size:.8rem}"
    "tbody:first-child tr:first-child>*{border-top:0}"
    "th.group{color:var(--soft);font-size:.8rem;padding-top:.6rem;font-weight:400}"
    ".number{text-align:right;padding-right:0;padding-left:.75rem;white-space:nowrap;"
    "overflow-wrap:normal;font-variant-numeric:tabular-nums}"
    "small{display:block;color:var(--soft);font-size:.8rem}td small:empty,th "
    "small:empty{display:none}"
    "code{font:.85em ui-monospace,\"DejaVu Sans Mono\",monospace;background:var(--bg);"
    "border:1px solid var(--line);border-radius:.3rem;padding:.05rem .3rem;user-select:all}"
    ".verdict code{background:var(--card)}"
    ".bar{display:block;width:100%;height:.2rem;margin-top:.2rem}.bar rect{fill:var(--curve);"
    "opacity:.55}"
    ".none{color:var(--soft);font-size:.875rem;margin:.4rem 0 0}h2+.none{margin-top:0}"
    "footer{padding-top:.25rem;padding-bottom:2rem}"
    "a{color:var(--curve)}a:focus-visible{outline:2px solid;outline-offset:2px}"
    "#stale{color:var(--bad);font-weight:600}#stale[hidden]{display:none}"
    "@media(min-width:36.01rem){.servers th:first-child{width:45%}}"
    "@media(max-width:60rem){.cards{grid-template-columns:repeat(2,minmax(0,1fr))}"
    ".columns{grid-template-columns:minmax(0,1fr)}.gauges,.facts{grid-template-columns:"
    "repeat(2,minmax(0,1fr))}}"
    "@media(max-width:36rem){header,main,footer{padding-left:.75rem;padding-right:.75rem}"
    "section{padding:.85rem .9rem}.verdict h1{font-size:1.2rem}.cards{gap:1rem}"
    ".now{font-size:1.3rem}.scale span:first-child,.scale span:last-child{display:none}"
    ".facts{grid-template-columns:minmax(0,1fr)}"
    ".stack,.stack tbody,.stack tr,.stack th,.stack td{display:block;border:0;padding:0;"
    "text-align:left}.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;"
    "clip-path:inset(50%)}"
    ".stack tr{padding:.6rem 0;border-top:1px solid var(--line)}"
    ".stack tbody tr:first-child{border-top:0;padding-top:0}"
    ".stack [data-label]{position:relative;padding-left:5.5rem}"
    ".stack [data-label]::before{content:attr(data-label);position:absolute;left:0;"
    "color:var(--soft);font-weight:400}}"
    "@media(prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}";

/* What is selected, or not looked at, is left alone. */
static const char script[] =
    "(function(){var busy=false,stale=document.getElementById('stale'),"
    "since=document.getElementById('since');"
    "function go(){if(busy||document.hidden||String(getSelection()))return;busy=true;"
    "fetch(location.href,{cache:'no-store',signal:AbortSignal.timeout(8000)})"
    ".then(function(r){if(!r.ok)throw 0;return r.text()})"
    ".then(function(t){var d=new DOMParser().parseFromString(t,'text/html'),"
    "m=d.querySelector('main');if(!m)throw 0;"
    "document.querySelector('main').replaceWith(document.adoptNode(m));document.title=d.title;"
    "document.getElementById('at').replaceWith(document.adoptNode(d.getElementById('at')));"
    "stale.hidden=true})"
    ".catch(function(){if(stale.hidden){since.textContent=new Date().toLocaleTimeString();"
    "stale.hidden=false}})"
    ".then(function(){busy=false})}"
    "setInterval(go,5000);document.addEventListener('visibilitychange',go)})()";

void sp_status_head(struct sp_html *h, const char *nonce, const char *title)
{
    sp_html_raw(h, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n"
                   "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n");
    sp_html_printf(h, "<title>%s &ndash; sallyport</title>\n<style nonce=\"%s\">", title, nonce);
    sp_html_raw(h, style);
    sp_html_raw(h, "</style>\n</head>\n<body>\n");
}

void sp_status_foot(struct sp_html *h, const char *nonce)
{
    sp_html_raw(h, "<footer><p id=\"stale\" role=\"alert\" hidden>sallyport has not answered since "
                   "<span id=\"since\"></span>: what stands here is old.</p><nav "
                   "aria-label=\"More\"><a href=\"/metrics\">metrics</a> &middot; <a "
                   "href=\"/healthz\">healthz</a> &middot; <a href=\"/readyz\">readyz</a></nav>"
                   "</footer>\n");
    sp_html_printf(h, "<script nonce=\"%s\">", nonce);
    sp_html_raw(h, script);
    sp_html_raw(h, "</script>\n</body>\n</html>\n");
}
