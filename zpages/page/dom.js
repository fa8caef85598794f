// Helpers to build and to change the document. Text is only ever set as text.

export const byId = (id) => document.getElementById(id);

// el makes an element. Keys of options are properties, but for class, dataset,
// on (listeners) and those with a dash or role, which are attributes.
export function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === 'class') node.className = value;
    else if (name === 'dataset') Object.assign(node.dataset, value);
    else if (name === 'on') Object.entries(value).forEach(([event, f]) => node.addEventListener(event, f));
    else if (name === 'role' || name === 'scope' || name.includes('-')) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

// The setters leave alone what has not changed, so that a selection of text and
// what a screen reader is at survive.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

// setWidth is for bars: a share of the whole, and a sliver for what is not 0.
export function setWidth(node, share) {
  node.style.width = share > 0 ? `max(2px, ${(Math.min(1, share) * 100).toFixed(2)}%)` : '0';
}

// keyed makes the children of parent those of items, in that order: it makes
// what is new, updates the rest in place, and removes what is gone. The focus
// stays where it is, also when its row moves.
export function keyed(parent, items, keyOf, make, update) {
  const rows = parent.rowsByKey ?? (parent.rowsByKey = new Map());
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, row] of rows) {
    if (wanted.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  let at = parent.firstChild;
  for (const [key, item] of wanted) {
    if (!rows.has(key)) rows.set(key, make(item));
    const row = rows.get(key);
    if (row === at) at = at.nextSibling;
    else parent.insertBefore(row, at);
    update(row, item);
  }
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

// empty says in a box that there is nothing yet, and what to do next.
export function empty(box, title, text = '', code = '') {
  const said = [title, text, code].join('\n');
  if (box.said === said) return;
  box.said = said;
  box.replaceChildren();
  if (!title) return;
  const parts = [el('strong', {}, title)];
  if (text) parts.push(el('p', {}, text));
  if (code) parts.push(el('pre', { tabIndex: 0 }, code));
  box.append(el('div', { class: 'empty' }, ...parts));
}
