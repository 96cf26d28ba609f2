"""Writes tests/golden/oracle/chat_templates.json: what transformers makes of templates and messages.

    python3 -m venv venv && venv/bin/pip install transformers==5.17.0 jinja2==3.1.6
    venv/bin/python tests/oracle/chat_templates.py tests/golden/oracle/chat_templates.json

The templates are written here, in the style of those that models bring, and the built-in ones are
read from src/text/chat_template_texts.h. A case is its name, a template, its variables (both by
index), and the text that transformers renders, or null where it raises. "random" templates are put
together from pieces by a seeded generator; those that transformers cannot compile are left out.
"""

import ast
import json
import os
import random
import re
import sys

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

CHAT = [{"role": "system", "content": "Be brief. "},
        {"role": "user", "content": " Hello\n"},
        {"role": "assistant", "content": "Hi!\n\nHow are you? "},
        {"role": "user", "content": "Fine, thanks — and 你好"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nGood."}]
TOOLS = [{"type": "function",
          "function": {"name": "weather", "description": "It's \"now\" <b>&</b>",
                       "parameters": {"type": "object", "properties":
                                      {"city": {"type": "string", "enum": ["Bonn", "Köln"]},
                                       "days": {"type": "integer", "default": 3},
                                       "half": {"type": "number", "default": 0.5}},
                                      "required": ["city"]}, "strict": True, "extra": None}}]
CALLS = [{"role": "user", "content": "Weather?"},
         {"role": "assistant", "content": None, "tool_calls":
          [{"id": "a1", "function": {"name": "weather", "arguments": {"city": "Bonn", "days": 2}}}]},
         {"role": "tool", "content": "rain", "tool_call_id": "a1"},
         {"role": "tool", "content": "sun"},
         {"role": "assistant", "content": "Rain."},
         {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "now?"}]}]

STYLES = {
    "chatml_default_system": """{% if not messages[0]['role'] == 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "llama2_long": """{% if messages[0]['role'] == 'system' %}
    {% set loop_messages = messages[1:] %}
    {% set system_message = messages[0]['content'] %}
{% else %}
    {% set loop_messages = messages %}
    {% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate') }}
    {% endif %}
    {% if loop.index0 == 0 and system_message != false %}
        {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {{ ' '  + content.strip() + ' ' + eos_token }}
    {% endif %}
{% endfor %}
""",
    "llama3_tools": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken off, so that it can be put where it belongs. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ (message['content'] if message['content'] is string else message['content'][0].text) | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "thinking": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no turns') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "phi": """{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    "mistral_tools": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and tools is defined and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"]|string + "[/INST]" }}
        {%- else %}
            {{- "[INST] " ~ message["content"] ~ "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- ', "id": "none"' }}
            {%- endif %}
            {{- '}' }}
        {%- endfor %}
        {{- "]" + eos_token }}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
""",
    "macros": """{%- macro describe(name, spec, deep=0) %}
{%- if spec.properties is defined %}
{{ '  ' * deep }}{{ name }}: object
{%- for key, value in spec.properties.items() %}
{{ describe(key, value, deep=deep + 1) }}
{%- endfor %}
{%- else %}
{{- '\\n' + '  ' * deep + name + ': ' + spec.type | default('any') }}
{%- if spec.enum %} ({{ spec.enum | join(', ') }}){% endif %}
{%- endif %}
{%- endmacro %}
{%- for tool in tools or [] %}
{{- describe(tool.function.name, tool.function.parameters) }}
{%- endfor %}
{%- for m in messages %}{% generation %}[{{ m.role | upper }}]{{ m.content if m.content is string else m.content | map(attribute='text') | join if m.content else '' }}{% endgeneration %}
{% endfor -%}
""",
    "set_block": """{% set header %}
<{{ messages[0].role }}>
{% endset %}
{% set shout | upper | trim %}  {{ header }} x {% endset %}
{{ header }}{{ shout }}
{%- for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{% if loop.index > 3 %}{% break %}{% endif %}{{ loop.index }}/{{ loop.length }}:{{ loop.revindex0 }}:{{ loop.previtem.role if loop.previtem is defined }}>{{ loop.nextitem.role if not loop.last }};{% else %}none{% endfor %}""",
    "spaces": "  {% if true %}  \n  a {% endif %}\n\t{# c #}\n {{ 'b' }} \n{%- if true -%}\n x \n{%- endif +%}\n y {%+ if true %}z{% endif %}\n  {% raw %} {{ no }} {% x %}\n{% endraw %}\n end\n\n",
}

EXPRESSIONS = """
1 + 2 * 3 ** 2 - 7 // 2 + -7 // 2 % 3
-7 % 3, 7 % -3, -7 // 2, 7 / 2, 2 ** 10, 2 ** -1, 7.5 // 2, -7.5 % 2
1 < 2 < 3, 1 < 3 < 2, 'a' < 'b', 1 == 1.0, true == 1, 'a' == "a", [1] == [1], (1,) == [1]
not true or true and false, not (true or false), not 1 == 2
'a' in 'abc', 'd' not in 'abc', 1 in [1, 2], 'x' in {'x': 1}, 'q' in nothing
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1, 'b'] ~ {'k': (1, 2)}
nothing, [nothing], nothing is defined, messages is defined, nothing.x is defined
none.x is defined, none['x'] is defined, messages[99] is defined, messages[0].nope is undefined
messages[0]['role'], messages[0].role, messages[-1].content, messages.0.role
messages[1:][0].role, messages[::-1][0].role, messages[:-1] | length, 'abcdef'[1:4], 'abcdef'[::-2], 'abc'[-1], 'abc'[5:]
[1, 2, 3, 4][-3:-1], [1, 2, 3][::2], [1, 2, 3][5:], [1, 2, 3][-9:2], [1, 2, 3][2:0:-1], (1, 2, 3)[1:]
messages | length, 'äé' | length, {'a': 1} | length, nothing | length, [] | count
'  a b  ' | trim, '\\u2003x\\u00a0' | trim, 'xxaxx' | trim('x'), none | trim, 12 | trim
'  a b  '.strip(), 'xxaxx'.lstrip('x'), 'xyaxy'.rstrip('yx'), '\\n a'.lstrip('\\n')
'a,b,,c'.split(','), ' a  b c '.split(), 'a,b,c'.split(',', 1), ' a b  c '.split(none, 1), 'abc'.split('</think>')[-1]
'a,b,c'.rsplit(',', 1), 'abc'.rsplit('x', 1)
'abc'.startswith('a'), 'abc'.startswith(('x', 'a')), 'abc'.endswith('bc'), 'abc'.replace('b', 'xx'), 'aaa'.replace('a', 'b', 2)
'abc def'.upper(), 'ABC'.lower(), "it's a dog".title(), 'aBC d'.capitalize(), 'abcabc'.find('c'), 'abcabc'.count('bc'), ', '.join(['a', 'b'])
'hello wORLD foo-bar (x'|title, 'aBC'|capitalize, 'ärger' | upper, 'ÄRGER' | lower
{'a': 1, 'b': [1, 2.5, none, true]} | tojson, 'é"\\n<&>\\u2028\\x7f' | tojson, [] | tojson, {} | tojson
{'a': {'b': [1, {'c': 2}], 'e': [], 'f': {}}} | tojson(indent=2), [1, 2] | tojson(indent=4)
{'items': 1}.items, {'items': 1}['items'], {'a': 1, 'b': 2}.items() | list, {'a': 1}.keys() | list, {'a': 1}.values() | list
{'a': 1}.get('a'), {'a': 1}.get('b'), {'a': 1}.get('b', 5), {'a': 1} | items | list
[1, 2, 3] | first, [1, 2, 3] | last, 'abc' | first, [] | first is defined, [3, 1] | reverse | list, 'abc' | reverse
[1, 2] | join, [1, 2] | join(', '), ['a', none, 1.5] | join('-'), 'abc' | join('.')
nothing | default('x'), nothing | d, '' | default('x'), '' | default('x', true), none | default('y', boolean=true)
'12' | int, '1.9' | int, 'x' | int, 'x' | int(7), 3.9 | int, -3.9 | int, ' 5 ' | int, '1.5' | float, 'z' | float, true | int
1.0, 1e20, 1e16, 123456789.125, 0.1, 1e-7, -0.0, 5 | abs, -5 | abs, -1.5 | abs
messages | map(attribute='role') | join(','), ['a', 'b'] | map('upper') | list, messages | map(attribute='content') | map('length') | list
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list, messages | rejectattr('role', 'eq', 'user') | list | length
[0, 1, '', 'a', none] | select | list, [1, 2, 3, 4] | select('odd') | list, [1, 2, 3, 4] | reject('divisibleby', 2) | list, messages | selectattr('name') | list
1 is number, 'a' is string, 1.5 is float, 1 is integer, true is boolean, true is integer, none is none, {} is mapping, [] is sequence, 'a' is iterable, 5 is iterable, nothing is iterable, nothing is sequence
3 is odd, 4 is even, 9 is divisibleby 3, 9 is divisibleby(2), 1 is not none, 1 is in [1, 2], 5 is gt 3, 5 is lessthan 3, 'a' is ne 'b', 'abc' is lower, 'ABC' is upper, range is callable, 1 is callable, true is true, 1 is true, false is false
'yes' if true else 'no', 'yes' if false, ('a' if false else 'b') ~ 'c', 1 if 2 if 0 else 3 else 4
range(3) | list, range(2, 8, 3) | list, range(5, 0, -2) | list, dict(a=1, b='x')
'a' * 3, 3 * 'ab', 'a' + 'b', [1] + [2], (1, 2) + (3,), 'a' 'b' "c"
"quote's", 'dq"s', ["it's", 'say "x"', 'both \\' and "', 'tab\\tnl\\nnull\\\\', 'é\\x07\\u200b\\xa0中']
'%d' | length, 'a\\qb', '\\x41\\u00e9\\U0001F600'
true, True, none, None, false, []
'line1\\nline2\\n\\nline3' | indent, 'a\\nb' | indent(2, true), 'a\\n\\nb' | indent(width=1, blank=true)
(messages | first).role, [1, [2, [3]]][1][1][0], {'a': {'b': 'c'}}.a.b, {'a': 1, 'a': 2}
messages is string or messages is mapping, 1 is string and 1 is number, not 1 is string
nothing ~ 'x', (nothing or 'y'), (0 or none), (1 and 'z'), ('' and 1)
[1, 2, 3].index(2), [1, 1, 2].count(1), 'x' | string, 5 | string ~ '', messages[0] | string | length
'prefix-x'.removeprefix('prefix-'), 'x.json'.removesuffix('.json'), 'a-b' | replace('-', '+')
1_000, 0 == false, '' == none, none == nothing, nothing == nope
""".strip("\n").split("\n")

STATEMENTS = [
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }} {{ ns.s }}",
    "{% if nothing %}a{% elif none %}b{% elif 0 %}c{% else %}d{% endif %}",
    "{% if true %}{% set y = 'set' %}{% endif %}{{ y }}",
    "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}-{{ b }};{% endfor %}{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}{% for x in nothing %}a{% else %}none{% endfor %}",
    "{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}:{{ x }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for x in 'héy' %}{{ x }}.{% endfor %}{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}",
    "{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }}|{% endfor %}",
    "{% for x in [1, 2, 3] %}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% set a, b = 1, 2 %}{{ a + b }}{% set c = (1, 2) %}{{ c }}{% set d = 1, %}{{ d }}",
    "{% macro m(a, b='x', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(c=3, a=0) }}{{ m() }}",
    "{% macro outer() %}{{ later }}{% endmacro %}{% set later = 'seen' %}{{ outer() }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{%- for m in messages -%}\n  {{- m.role -}}\n{%- endfor -%}\n",
    "a\n  {%- if true %}\n  b\n  {%- endif %}\n  c\n",
    "{% if true %}\n\nx\n{% endif %}\n\ny",
    "  {%+ if true %}\n  x {% endif %}\n",
    "x {# comment #} y\n  {# c #}  \nz {#- d -#}  \n w{# e +#}\nv",
    "{{ 'a' }}\n{{ 'b' }}\n\n",
    "\r\n{% if true %}\r\nA\r{% endif %}\r\nB\r\n",
    "{{ 1 }}{{- 2 }} {{ 3 -}} \n {{ 4 }}",
    "{% raw -%} \n {{ x }} {%- endraw %}\n!",
    "{{ '{{ x }}' }}{{ \"%}\" }}{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ raise_exception('no') }}",
    "{{ nothing.x }}",
    "{{ nothing + 1 }}",
    "{{ 'a' + 1 }}",
    "{{ nothing() }}",
    "{{ 1 / 0 }}",
    "{{ none + 'a' }}",
    "{{ messages.append(1) }}",
    "{{ 5 in 'abc' }}",
    "{{ 'a' < 1 }}",
    "{{ nothing | tojson }}",
    "{{ none | length }}",
    "{% for x in 5 %}{% endfor %}",
    "{% set messages[0].role = 'x' %}",
    "{% set q = 1 %}{% set q.x = 2 %}",
    "{{ 'abc'.split('') }}",
    "{{ range(1, 2, 0) }}",
    "{{ [1, 2].index(9) }}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% generation %} x {% endgeneration %}\ny",
    "{% set x %}\n  a\n{% endset %}\n[{{ x }}]",
    "{% set x | trim %}\n  a\n{% endset %}[{{ x }}]",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% if messages[0].role == 'system' %}{% set messages = messages[1:] %}{% endif %}{{ messages | length }}",
    "{% for message in messages %}{% if loop.first and message.role == 'system' %}S{% else %}{{ message.role[0] }}{% endif %}{% endfor %}",
]


def builtin_templates(path):
    text = open(path, encoding="utf-8").read()
    for name, body in re.findall(r'\{"(\w+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\}', text):
        yield name, "".join(ast.literal_eval(s) for s in re.findall(r'"(?:[^"\\]|\\.)*"', body))


def random_template(rng):
    pieces = ["a", " ", "\n", "  ", "\t", "x\n", " \n ", "\n\n"]
    out = []
    depth = 0
    for _ in range(rng.randrange(3, 14)):
        kind = rng.random()
        left = rng.choice(["", "", "-", "+"])
        right = rng.choice(["", "", "-", "+"])
        if kind < 0.45:
            out.append(rng.choice(pieces))
        elif kind < 0.6:
            out.append("{{" + rng.choice(["", "-"]) + " '" + rng.choice("uvw") + "' " +
                       rng.choice(["", "-"]) + "}}")
        elif kind < 0.7:
            out.append("{#" + left + " c " + right + "#}")
        elif kind < 0.88 or depth == 0:
            out.append("{%" + left + rng.choice([" if true ", " if 1 == 1 "]) + right + "%}")
            depth += 1
        else:
            out.append("{%" + left + " endif " + right + "%}")
            depth -= 1
    while depth > 0:
        out.append("{% endif %}")
        depth -= 1
    return "".join(out)


def cases():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    shared = {"bos_token": "<s>", "eos_token": "</s>"}
    chats = [CHAT[:2], CHAT[:3], CHAT, CHAT[1:], CHAT[1:2], CHAT[3:], CHAT[2:]]
    for name, text in builtin_templates(os.path.join(root, "src/text/chat_template_texts.h")):
        for chat in chats:
            for prompt in (False, True):
                yield name, text, {"messages": chat, "add_generation_prompt": prompt, **shared}
    for name, text in STYLES.items():
        for chat in chats[:4] + [CALLS, CALLS[:5], CALLS[:2]]:
            for prompt in (False, True):
                yield name, text, {"messages": chat, "add_generation_prompt": prompt, **shared}
                yield name, text, {"messages": chat, "add_generation_prompt": prompt,
                                   "tools": TOOLS, "enable_thinking": False, **shared}
    for number, line in enumerate(EXPRESSIONS):
        yield f"expression {number}", "{{ [" + line + "] }}", {"messages": CHAT}
        for part in re.split(r", (?![^(\[{]*[)\]}])", line)[:4]:
            if part.count("'") % 2 == 0 and part.count('"') % 2 == 0:
                yield f"expression {number}", "{{ " + part + " }}", {"messages": CHAT}
    for number, text in enumerate(STATEMENTS):
        yield f"statement {number}", text, {"messages": CHAT}
    rng = random.Random(5)
    for number in range(400):
        yield f"random {number}", random_template(rng), {}


def index_of(values, value):
    if value not in values:
        values.append(value)
    return values.index(value)


def main():
    templates = []
    variables = []
    rows = []
    for name, text, given in cases():
        try:
            rendered = _compile_jinja_template(text).render(**given)
        except jinja2.TemplateSyntaxError as error:
            if name.startswith(("random", "expression")):
                continue
            print(f"{name}: {error}", file=sys.stderr)
            rendered = None
        except Exception:  # what a template raises is whatever Python raises
            rendered = None
        if rendered is None or " at 0x" not in rendered:
            rows.append([name, index_of(templates, text), index_of(variables, given), rendered])
    document = {"tool": f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}",
                "command": "tests/oracle/chat_templates.py OUT",
                "templates": templates, "variables": variables}
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        head = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        print(head[:-1] + ',\n"cases":[\n' + body + "]}", file=out)
    print(f"{len(rows)} cases, {sum(row[3] is None for row in rows)} refused", file=sys.stderr)


main()
