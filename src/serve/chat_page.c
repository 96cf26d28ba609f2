#include "serve/chat_page.h"

#include <stddef.h>

#include "base/html.h"
#include "base/memory.h"

/** chat.js, see tools/embed-text. */
extern const unsigned char od_chat_script[];

static const char STYLE[] =
    "<style>\n"
    "form,.row{display:grid;gap:.75rem}\n"
    ".row{grid-template-columns:repeat(auto-fit,minmax(min(100%,11rem),1fr));margin:.5rem 0}\n"
    ".buttons{grid-template-columns:repeat(3,1fr);gap:.5rem}\n"
    "label{display:grid;gap:.2rem;font-size:.85rem;color:var(--quiet)}\n"
    "select,input,textarea,form button{font:inherit;color:inherit;background:var(--panel);"
    "border:1px solid var(--rule);border-radius:.5rem;padding:.5rem;min-width:0;max-width:100%;"
    "box-sizing:border-box;width:100%}\n"
    "form button{cursor:pointer;min-height:2.75rem}form button:disabled{opacity:.5;cursor:default}\n"
    "textarea{resize:vertical;min-height:4.5rem}\n"
    ".question{font-weight:600;white-space:pre-wrap;overflow-wrap:anywhere;margin:1rem 0 .5rem}\n"
    ".answers{display:grid;gap:.75rem;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}\n"
    ".answer{border:1px solid var(--rule);border-radius:.5rem;padding:.5rem .75rem;min-width:0}\n"
    ".answer h2{margin:0;font-size:.85rem;color:var(--quiet);overflow-wrap:anywhere}\n"
    ".answer .text{margin:.25rem 0;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    ".answer .wrong{font-style:italic}\n"
    ".token{all:unset;cursor:pointer;white-space:pre-wrap;overflow-wrap:anywhere;"
    "border-bottom:2px solid rgb(200 60 0/calc(var(--doubt)*.9))}\n"
    ".token:hover,.token:focus-visible{outline:2px solid var(--one);border-radius:.2rem}\n"
    ".note{margin:0}.note:empty{display:none}\n"
    ".detail table{font-size:.85rem}\n"
    "</style>\n";

static const char BODY[] =
    "<div id=\"talk\" aria-live=\"polite\" aria-label=\"conversation\" role=\"log\"></div>\n"
    "<p id=\"status\" role=\"status\" class=\"quiet\"></p>\n"
    "<form id=\"form\">\n"
    "<label>Your text<textarea id=\"question\" rows=\"3\" autofocus></textarea></label>\n"
    "<div class=\"row buttons\">\n"
    "<button id=\"send\" type=\"submit\">Send</button>\n"
    "<button id=\"stop\" type=\"button\" disabled>Stop</button>\n"
    "<button id=\"forget\" type=\"button\">Forget</button>\n"
    "</div>\n"
    "<div class=\"row\">\n"
    "<label>Model<select id=\"model\"></select></label>\n"
    "<label>Beside it<select id=\"beside\"><option value=\"\">nothing</option></select></label>\n"
    "<label>How<select id=\"mode\"><option value=\"chat\">answer a conversation</option>"
    "<option value=\"text\">go on from the text</option></select></label>\n"
    "</div>\n"
    "<details id=\"settings\"><summary>Settings</summary><div class=\"row\">\n"
    "<label>Temperature<input id=\"temperature\" type=\"number\" min=\"0\" max=\"10\" step=\"0.1\" "
    "value=\"0.7\"></label>\n"
    "<label>Tokens at most<input id=\"most\" type=\"number\" min=\"1\" max=\"100000\" "
    "value=\"256\"></label>\n"
    "<label>API key<input id=\"key\" type=\"password\" autocomplete=\"off\"></label>\n"
    "</div></details>\n"
    "</form>\n"
    "<p class=\"quiet\">A line below a token shows doubt: the stronger, the less likely it was. Choose a "
    "token to see what else it could have been; arrow keys go along them. Enter sends, Shift+Enter starts "
    "a line, Escape stops. Programs find the API in "
    "<a href=\"/openapi.json\">/openapi.json</a>, counts in <a href=\"/metrics\">/metrics</a>.</p>\n"
    "<noscript><p>This page needs its script; the API does not.</p></noscript>\n"
    "<script src=\"/chat.js\" defer></script>\n";

void od_chat_page_write(struct od_buf *out, const char *model)
{
    od_html_begin(out, model, NULL);
    od_buf_puts(out, STYLE);
    od_buf_puts(out, BODY);
    od_html_end(out);
}

void od_chat_script_write(struct od_buf *out)
{
    od_buf_puts(out, (const char *)od_chat_script);
}
