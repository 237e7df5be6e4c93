// Range and filters: kept in the address of the page, so that it can be reloaded, kept and sent on.

const NAMES = ['window', 'model', 'project', 'client'];
const WINDOWS = ['1h', '24h', '7d', '30d'];

export const SPANS = { '1h': 'the hour', '24h': 'the 24 hours', '7d': 'the 7 days', '30d': 'the 30 days' };

export function fromAddress() {
  const query = new URLSearchParams(location.search);
  const view = Object.fromEntries(NAMES.map((name) => [name, query.get(name) || '']));
  if (!WINDOWS.includes(view.window)) view.window = '24h';
  return view;
}

export function toQuery(view) {
  const query = new URLSearchParams();
  for (const name of NAMES) if (view[name] && !(name === 'window' && view[name] === '24h')) query.set(name, view[name]);
  return query.toString();
}

export const isFiltered = (view) => Boolean(view.model || view.project || view.client);

/** Ties the form to the address; `changed` gets every new view. */
export function bind(form, changed) {
  let view = fromAddress();
  const clear = form.querySelector('#clear');

  function reflect() {
    for (const radio of form.elements.window) radio.checked = radio.value === view.window;
    for (const name of NAMES.slice(1)) {
      const select = form.elements[name];
      if (view[name] && ![...select.options].some((option) => option.value === view[name])) {
        select.append(new Option(view[name], view[name]));
      }
      select.value = view[name];
      select.classList.toggle('chosen', Boolean(view[name]));
    }
    clear.hidden = !isFiltered(view);
  }

  function take(next, push) {
    view = next;
    if (push) history.pushState(null, '', `${location.pathname}${toQuery(view) ? `?${toQuery(view)}` : ''}`);
    reflect();
    changed(view);
  }

  form.addEventListener('change', () => {
    const chosen = new FormData(form);
    take(Object.fromEntries(NAMES.map((name) => [name, chosen.get(name) || ''])), true);
  });
  form.addEventListener('reset', (event) => {
    event.preventDefault();
    take({ window: view.window, model: '', project: '', client: '' }, true);
    form.elements.model.focus();
  });
  form.addEventListener('submit', (event) => event.preventDefault());
  addEventListener('popstate', () => take(fromAddress(), false));
  reflect();
  return {
    get current() { return view; },
    set(part) { take({ ...view, ...part }, true); },
    offer(choices) {
      for (const name of NAMES.slice(1)) {
        const select = form.elements[name];
        const wanted = [...new Set([...(choices[name] || []), view[name]])].filter(Boolean).sort();
        const shown = [...select.options].slice(1).map((option) => option.value);
        if (wanted.join('\n') === shown.join('\n')) continue;
        select.length = 1;
        for (const one of wanted) select.append(new Option(one, one));
        select.value = view[name];
      }
    },
  };
}
