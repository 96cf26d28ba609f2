#include "base/html.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

// In two parts: a compiler need not take a text of more than 4095 bytes.
static const char style_page[] =
    ":root{color-scheme:light dark;--page:#fff;--panel:#f6f7f9;--ink:#1b1f24;--quiet:#57606a;"
    "--rule:#d5dae0;--one:#0b62c4;--two:#b54708;--fill:#cfe3fa;--good:#e2f3e5;--edge:#a3d3ac}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#12161b;--panel:#1a2027;--ink:#e6e9ed;"
    "--quiet:#9ba5b0;--rule:#343c46;--one:#6cb2ff;--two:#f5a35c;--fill:#1d4268;--good:#1d3d26;--edge:#356b45}}\n"
    "*{box-sizing:border-box}\n"
    "html{-webkit-text-size-adjust:100%}\n"
    "body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\n"
    "main{max-width:80rem;margin:0 auto;padding:1.25rem 1rem 3rem}\n"
    "h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.15rem;line-height:1.3;margin:2.25rem 0 .5rem}\n"
    "p{margin:.25rem 0 .75rem;max-width:46rem}\n"
    ".lead{color:var(--quiet);margin-bottom:1.25rem;overflow-wrap:anywhere}\n"
    ".quiet{color:var(--quiet);font-size:.85rem}\n"
    ".scroll{overflow-x:auto;border:1px solid var(--rule);border-radius:.5rem;margin:.5rem 0 1rem}\n"
    ".scroll:focus-visible,summary:focus-visible{outline:2px solid var(--one);outline-offset:2px}\n"
    "table{border-collapse:separate;border-spacing:0;width:100%;font-size:.92rem}\n"
    "th,td{padding:.4rem .6rem;text-align:left;vertical-align:top;border-top:1px solid "
    "var(--rule);background:var(--page)}\n"
    "thead th{background:var(--panel);vertical-align:bottom;font-weight:600}\n"
    "table>thead:first-child>tr:first-child>*{border-top:0}\n"
    "thead th.num{white-space:normal;max-width:13rem;overflow-wrap:break-word}\n"
    "tbody th{font-weight:600}\n"
    "tbody th[colspan]{background:var(--panel);color:var(--quiet);font-size:.85rem}\n"
    ".num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    ".best{background:var(--good);font-weight:600}\n"
    ".near{box-shadow:inset 0 0 0 2px var(--edge)}\n"
    "tbody+tbody>tr:first-child>*{border-top:2px solid var(--quiet)}\n"
    ".pin{position:sticky;left:0;z-index:1;box-shadow:1px 0 0 var(--rule);min-width:8.5rem;"
    "max-width:15rem;overflow-wrap:break-word}\n"
    ".bar{position:relative;min-width:6.5rem}\n"
    ".bar i{position:absolute;left:0;top:.2rem;bottom:.2rem;background:var(--fill);"
    "border-radius:0 .2rem .2rem 0}\n"
    ".bar b,.bar small{position:relative}\n"
    "td small{display:block;color:var(--quiet);font-size:.78rem;font-weight:400}\n"
    "td .why{white-space:normal}\n";
static const char style_figures[] =
    ".chart{margin:.5rem 0 1rem;padding:.75rem;border:1px solid var(--rule);border-radius:.5rem}\n"
    ".chart svg{display:block;width:100%;height:auto}\n"
    "figcaption{color:var(--quiet);font-size:.85rem;margin-top:.25rem}\n"
    "svg text{fill:var(--ink);font:12px system-ui,sans-serif}\n"
    "svg .quiet{fill:var(--quiet)}\n"
    "svg .label{font-weight:600;paint-order:stroke;stroke:var(--page);stroke-width:5px}\n"
    ".grid{stroke:var(--rule);stroke-width:1}\n"
    ".axis{stroke:var(--quiet);stroke-width:1}\n"
    ".line-1,.whisker-1{stroke:var(--one);fill:none}\n"
    ".line-2,.whisker-2{stroke:var(--two);fill:none}\n"
    ".line-1,.line-2{stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}\n"
    ".whisker-1,.whisker-2{stroke-width:2}\n"
    ".dot-1{fill:var(--one)}.dot-2{fill:var(--two)}\n"
    ".key-1{color:var(--one)}.key-2{color:var(--two)}\n"
    "pre{margin:0;padding:.75rem;background:var(--panel);border-radius:.5rem;overflow-x:auto;"
    "font:.82rem/1.45 ui-monospace,'DejaVu Sans Mono',monospace;white-space:pre-wrap;"
    "overflow-wrap:anywhere}\n"
    "details{border:1px solid var(--rule);border-radius:.5rem;margin:.5rem 0;padding:.25rem .75rem}\n"
    "summary{cursor:pointer;padding:.25rem 0;font-weight:600}\n"
    "details pre{margin:.25rem 0 .5rem;max-height:30rem;overflow-y:auto}\n"
    ".charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}\n"
    ".charts .chart{margin:0}.charts .chart svg{max-width:36rem;margin:0 auto}\n"
    ".facts{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));"
    "margin:1rem 0}\n"
    ".facts div{border:1px solid var(--rule);border-radius:.5rem;padding:.5rem .75rem}\n"
    ".facts dt{color:var(--quiet);font-size:.85rem}\n"
    ".facts dd{margin:0;font-size:1.15rem;font-weight:600;overflow-wrap:anywhere}\n"
    "ul,ol{margin:.25rem 0 .75rem;padding-left:1.25rem}li{overflow-wrap:anywhere}\n"
    ".samples{display:grid;gap:.75rem;margin:.5rem 0}\n"
    ".sample{border:1px solid var(--rule);border-radius:.5rem;padding:.75rem}\n"
    ".sample dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem .75rem;margin:0}\n"
    ".sample dt{color:var(--quiet);font-size:.85rem}\n"
    ".sample dd{margin:0;min-width:0}\n"
    "@media(max-width:40rem){.pin{max-width:9.5rem}}\n"
    "@media(min-width:60rem){main{padding-left:2rem;padding-right:2rem}h1{font-size:2rem}}\n"
    "@media print{.scroll{overflow:visible}details>*{display:block}}\n";

static const char *escape_of(uint32_t code)
{
    switch (code) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

void od_html_text_n(struct od_buf *out, const char *text, size_t size)
{
    size_t from = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(text + at, size - at, &code);
        const bool wrong = length == 0 || (code < 0x20 && code != '\t' && code != '\n') ||
                           (code >= 0x7f && code < 0xa0);
        const char *escape = wrong ? "\xef\xbf\xbd" : escape_of(code);
        const size_t step = length > 0 ? (size_t)length : 1;
        if (escape) {
            od_buf_append(out, text + from, at - from);
            od_buf_puts(out, escape);
            from = at + step;
        }
        at += step;
    }
    od_buf_append(out, text + from, size - from);
}

void od_html_text(struct od_buf *out, const char *text)
{
    od_html_text_n(out, text, strlen(text));
}

void od_html_begin(struct od_buf *out, const char *title, const char *lead)
{
    od_buf_puts(out,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<title>");
    od_html_text(out, title);
    od_buf_puts(out, "</title>\n<style>\n");
    od_buf_puts(out, style_page);
    od_buf_puts(out, style_figures);
    od_buf_puts(out, "</style>\n</head>\n<body>\n<main>\n<h1>");
    od_html_text(out, title);
    od_buf_puts(out, "</h1>\n");
    if (lead) {
        od_buf_puts(out, "<p class=\"lead\">");
        od_html_text(out, lead);
        od_buf_puts(out, "</p>\n");
    }
}

void od_html_end(struct od_buf *out)
{
    od_buf_puts(out, "</main>\n</body>\n</html>\n");
}
