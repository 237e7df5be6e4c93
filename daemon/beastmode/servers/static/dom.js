// Makes elements and brings what is on the page in line with them, so that focus and selection survive an update.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      node.append(child instanceof Node ? child : String(child));
    }
  }
  return node;
}

/** An HTML element; text is always text, never markup. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** What there is to copy and type. */
export const command = (text) =>
  h('button', { class: 'command', type: 'button', 'data-act': 'copy', 'data-text': text, title: 'Copy' }, h('code', {}, text));

const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute('data-key') : null);

function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function sync(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== 'style' && name !== 'open') old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!old.hasAttribute('data-own')) patch(old, [...fresh.childNodes]);
}

/** Makes the children of a node like the given ones; what has a data-key is moved, not made anew. */
export function patch(parent, children) {
  const fresh = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
  const keyed = new Map();
  for (const node of parent.childNodes) if (keyOf(node)) keyed.set(keyOf(node), node);
  let place = parent.firstChild;
  for (const node of fresh) {
    const known = keyOf(node) ? keyed.get(keyOf(node)) : place;
    if (known && alike(known, node)) {
      if (known === place) place = place.nextSibling;
      else parent.insertBefore(known, place);
      sync(known, node);
    } else {
      parent.insertBefore(node, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** Shows something in the body of a panel. */
export const show = (id, ...children) => patch(document.querySelector(`#${id} .body`), children);
