// The page at /: asks the server that it came from, one or two of its models at a time, and shows the
// answers as they come, each token with its probability. Text of a model is only ever set as text.
'use strict';

const byId = (id) => document.getElementById(id);
let talk = [];  // {role, content} of the conversation with the first model, and `beside` with the second
let besideTalk = [];
let stopper = null;

function headers() {
  const key = byId('key').value.trim();
  const all = {'Content-Type': 'application/json'};
  if (key !== '') {
    all.Authorization = 'Bearer ' + key;
  }
  return all;
}

function say(text) {
  byId('status').textContent = text;
}

async function errorOf(response) {
  try {
    const body = await response.json();
    return (body.error && body.error.message) || body.detail || response.statusText;
  } catch (problem) {
    return response.statusText;
  }
}

async function listModels() {
  const response = await fetch('/v1/models', {headers: headers()});
  if (!response.ok) {
    say(await errorOf(response));
    byId('settings').open = response.status === 401;
    return;
  }
  const models = (await response.json()).data;
  for (const select of [byId('model'), byId('beside')]) {
    const chosen = select.value;
    while (select.options.length > (select.id === 'beside' ? 1 : 0)) {
      select.remove(select.options.length - 1);
    }
    for (const model of models) {
      select.add(new Option(model.id, model.id));
    }
    if (chosen !== '') {
      select.value = chosen;
    }
  }
  say('');
}

// Events of a stream, one parsed value at a time.
async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) {
      return;
    }
    rest += decoder.decode(value, {stream: true});
    let end = rest.indexOf('\n\n');
    while (end >= 0) {
      const data = rest.slice(0, end).replace(/^data: /, '');
      rest = rest.slice(end + 2);
      if (data === '[DONE]') {
        return;
      }
      yield JSON.parse(data);
      end = rest.indexOf('\n\n');
    }
  }
}

// [{text, logprob, others: [[text, logprob]]}] of one event of either API.
function tokensOf(choice) {
  const list = choice.logprobs;
  if (!list) {
    return [];
  }
  if (list.content) {
    return list.content.map((token) => ({
      text: token.token,
      logprob: token.logprob,
      others: token.top_logprobs.map((other) => [other.token, other.logprob]),
    }));
  }
  return list.tokens.map((text, i) => ({
    text,
    logprob: list.token_logprobs[i],
    others: Object.entries(list.top_logprobs[i] || {}),
  }));
}

function percent(logprob) {
  return (100 * Math.exp(logprob)).toFixed(1) + ' %';
}

// What a token could have been, below its answer.
function showToken(token, place) {
  place.textContent = '';
  const table = document.createElement('table');
  const others = token.others.slice().sort((a, b) => b[1] - a[1]);
  if (!others.some((other) => other[0] === token.text)) {
    others.push([token.text, token.logprob]);
  }
  for (const [text, logprob] of others) {
    const row = table.insertRow();
    row.insertCell().textContent = JSON.stringify(text) + (text === token.text ? ' \u2190' : '');
    const cell = row.insertCell();
    cell.className = 'num';
    cell.textContent = percent(logprob);
  }
  place.append(table);
}

// Tokens are one stop of the tab key; arrows go from one to the next.
function goTo(event) {
  const step = {ArrowRight: 'nextElementSibling', ArrowLeft: 'previousElementSibling'}[event.key];
  const next = step && event.target[step];
  if (next) {
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

function addToken(token, answer, detail) {
  const part = document.createElement('button');
  part.type = 'button';
  part.tabIndex = answer.querySelector('.token') ? -1 : 0;
  part.addEventListener('keydown', goTo);
  part.className = 'token';
  part.textContent = token.text.replace(/\n/g, '\u21b5');
  part.title = percent(token.logprob);
  part.style.setProperty('--doubt', String(1 - Math.exp(token.logprob)));
  part.addEventListener('click', () => showToken(token, detail));
  answer.append(part);
  if (token.text.includes('\n')) {
    answer.append('\n');
  }
}

// One column of an answer.
function column(row, name) {
  const box = document.createElement('div');
  box.className = 'answer';
  const head = document.createElement('h2');
  head.textContent = name;
  const text = document.createElement('p');
  text.className = 'text';
  const note = document.createElement('p');
  note.className = 'note quiet';
  const detail = document.createElement('div');
  detail.className = 'detail';
  box.append(head, text, note, detail);
  row.append(box);
  return {text, note, detail, whole: ''};
}

// The buttons stay in sight while an answer grows above them, unless one has scrolled away.
function follows() {
  const place = byId('stop').getBoundingClientRect();
  return place.top < window.innerHeight && place.bottom > 0;
}

function bodyFor(model, messages, prompt) {
  const shared = {
    model,
    stream: true,
    temperature: Number(byId('temperature').value),
    max_tokens: Number(byId('most').value),
  };
  if (byId('mode').value === 'text') {
    return ['/v1/completions', {...shared, prompt, logprobs: 5}];
  }
  return ['/v1/chat/completions', {...shared, messages, logprobs: true, top_logprobs: 5}];
}

// Ask one model; gives the text of its answer, or null when there is none.
async function ask(model, messages, prompt, view) {
  const [path, body] = bodyFor(model, messages, prompt);
  const response = await fetch(path, {
    method: 'POST',
    headers: headers(),
    body: JSON.stringify(body),
    signal: stopper.signal,
  });
  if (!response.ok) {
    view.text.className = 'text wrong';
    view.text.textContent = await errorOf(response);
    return null;
  }
  for await (const event of events(response)) {
    if (event.error) {
      view.note.textContent = event.error.message;
      return null;
    }
    const following = follows();
    const choice = event.choices[0];
    const text = choice.delta ? choice.delta.content || '' : choice.text;
    view.whole += text;
    const tokens = tokensOf(choice);
    const joined = tokens.map((token) => token.text).join('');
    if (joined === text) {
      tokens.forEach((token) => addToken(token, view.text, view.detail));
    } else if (text !== '') {
      view.text.append(text);  // a character of several tokens
    }
    if (following) {
      byId('stop').scrollIntoView({block: 'nearest'});
    }
  }
  view.note.textContent = view.whole === '' ? 'an empty answer' : '';
  return view.whole;
}

// What was said until it was stopped is part of the conversation; what failed is not.
function failed(problem, view) {
  if (problem.name !== 'AbortError') {
    view.note.textContent = 'no answer: ' + problem.message;
    return null;
  }
  view.note.textContent = 'stopped';
  return view.whole;
}

function busy(is) {
  byId('send').disabled = is;
  byId('stop').disabled = !is;
}

async function send(event) {
  event.preventDefault();
  const question = byId('question').value;
  if (question.trim() === '' || stopper) {
    return;
  }
  const models = [byId('model').value];
  if (byId('beside').value !== '') {
    models.push(byId('beside').value);
  }
  const turn = document.createElement('section');
  turn.className = 'turn';
  const asked = document.createElement('p');
  asked.className = 'question';
  asked.textContent = question;
  const row = document.createElement('div');
  row.className = 'answers';
  turn.append(asked, row);
  byId('talk').append(turn);
  const histories = [talk, besideTalk];
  stopper = new AbortController();
  busy(true);
  say('');
  byId('stop').scrollIntoView({block: 'nearest'});
  const answers = await Promise.all(models.map(async (model, i) => {
    const view = column(row, model);
    const messages = histories[i].concat([{role: 'user', content: question}]);
    try {
      return await ask(model, messages, question, view);
    } catch (problem) {
      return failed(problem, view);
    }
  }));
  answers.forEach((answer, i) => {
    if (answer !== null) {
      histories[i].push({role: 'user', content: question}, {role: 'assistant', content: answer});
    }
  });
  stopper = null;
  busy(false);
  if (answers.some((answer) => answer !== null)) {
    byId('question').value = '';
  }
  byId('question').focus();
}

function stop() {
  if (stopper) {
    stopper.abort();
  }
}

function forget() {
  stop();
  talk = [];
  besideTalk = [];
  byId('talk').textContent = '';
  say('');
}

byId('form').addEventListener('submit', send);
byId('stop').addEventListener('click', stop);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    stop();
  }
});
byId('forget').addEventListener('click', forget);
byId('beside').addEventListener('change', () => {
  besideTalk = [];
});
byId('key').addEventListener('change', listModels);
byId('question').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    send(event);
  }
});
busy(false);
listModels().catch((problem) => say(String(problem)));
