/**
 * @file
 * The built-in chat templates, as Jinja. Written here in the layout that each model family was
 * trained with; tests/oracle/chat_templates.py reads this file.
 *
 * @thread Constant data.
 */
#ifndef OD_TEXT_CHAT_TEMPLATE_TEXTS_H
#define OD_TEXT_CHAT_TEMPLATE_TEXTS_H

/** A template that has a name. */
struct od_chat_template_text {
    const char *name;
    const char *text;
};

static const struct od_chat_template_text od_chat_template_texts[] = {
    {"chatml",
     "{%- for message in messages %}\n"
     "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n"
     "{%- endfor %}\n"
     "{%- if add_generation_prompt %}\n"
     "{{- '<|im_start|>assistant\\n' }}\n"
     "{%- endif %}\n"},
    {"llama2",
     "{%- set start = 1 if messages and messages[0]['role'] == 'system' else 0 %}\n"
     "{%- for message in messages[start:] %}\n"
     "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n"
     "{{- raise_exception('user and assistant must take turns, the user first') }}\n"
     "{%- endif %}\n"
     "{%- if message['role'] == 'user' %}\n"
     "{{- bos_token + '[INST] ' }}\n"
     "{%- if loop.first and start == 1 %}\n"
     "{{- '<<SYS>>\\n' + messages[0]['content'].strip() + '\\n<</SYS>>\\n\\n' }}\n"
     "{%- endif %}\n"
     "{{- message['content'].strip() + ' [/INST]' }}\n"
     "{%- else %}\n"
     "{{- ' ' + message['content'].strip() + ' ' + eos_token }}\n"
     "{%- endif %}\n"
     "{%- endfor %}\n"},
    {"llama3",
     "{{- bos_token }}\n"
     "{%- for message in messages %}\n"
     "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\n"
     "{{- message['content'] | trim + '<|eot_id|>' }}\n"
     "{%- endfor %}\n"
     "{%- if add_generation_prompt %}\n"
     "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n"
     "{%- endif %}\n"},
    {"mistral",
     "{{- bos_token }}\n"
     "{%- set start = 1 if messages and messages[0]['role'] == 'system' else 0 %}\n"
     "{%- for message in messages[start:] %}\n"
     "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n"
     "{{- raise_exception('user and assistant must take turns, the user first') }}\n"
     "{%- endif %}\n"
     "{%- if message['role'] == 'user' %}\n"
     "{{- '[INST] ' + (messages[0]['content'] + '\\n\\n' if loop.first and start == 1 else '') }}\n"
     "{{- message['content'] + ' [/INST]' }}\n"
     "{%- else %}\n"
     "{{- ' ' + message['content'] + eos_token }}\n"
     "{%- endif %}\n"
     "{%- endfor %}\n"},
    {"zephyr",
     "{%- for message in messages %}\n"
     "{{- '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}\n"
     "{%- endfor %}\n"
     "{%- if add_generation_prompt %}\n"
     "{{- '<|assistant|>\\n' }}\n"
     "{%- endif %}\n"},
    {"vicuna",
     "{{- bos_token }}\n"
     "{%- if messages and messages[0]['role'] != 'system' %}\n"
     "{{- 'A chat between a curious user and an artificial intelligence assistant. The assistant "
     "gives helpful, detailed, and polite answers to the user\\'s questions. ' }}\n"
     "{%- endif %}\n"
     "{%- for message in messages %}\n"
     "{%- if message['role'] == 'system' %}\n"
     "{{- message['content'] + ' ' }}\n"
     "{%- elif message['role'] == 'user' %}\n"
     "{{- 'USER: ' + message['content'] + ' ' }}\n"
     "{%- else %}\n"
     "{{- 'ASSISTANT: ' + message['content'] + eos_token }}\n"
     "{%- endif %}\n"
     "{%- endfor %}\n"
     "{%- if add_generation_prompt %}\n"
     "{{- 'ASSISTANT:' }}\n"
     "{%- endif %}\n"},
    {"alpaca",
     "{{- bos_token }}\n"
     "{%- if messages and messages[0]['role'] != 'system' %}\n"
     "{{- 'Below is an instruction that describes a task. Write a response that appropriately "
     "completes the request.\\n\\n' }}\n"
     "{%- endif %}\n"
     "{%- for message in messages %}\n"
     "{%- if message['role'] == 'system' %}\n"
     "{{- message['content'] + '\\n\\n' }}\n"
     "{%- elif message['role'] == 'user' %}\n"
     "{{- '### Instruction:\\n' + message['content'] + '\\n\\n' }}\n"
     "{%- else %}\n"
     "{{- '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}\n"
     "{%- endif %}\n"
     "{%- endfor %}\n"
     "{%- if add_generation_prompt %}\n"
     "{{- '### Response:\\n' }}\n"
     "{%- endif %}\n"},
};

#endif
