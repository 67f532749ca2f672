// Elements from values. Text is always textContent: what a source is called or says can never become markup.

/** An element: `h("li", {class: "a", data: {level: "ok"}}, "text", child)`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An icon of the sprite that every page carries. */
export function icon(name) {
  const svg = svgElement("svg", { "aria-hidden": "true" });
  svg.append(svgElement("use", { href: `#i-${name}` }));
  return svg;
}

export function svgElement(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Write text only when it changed: an unchanged write still costs layout. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set a data attribute only when it changed; null takes it away. */
export function mark(element, name, value) {
  if (value === null || value === undefined) delete element.dataset[name];
  else if (element.dataset[name] !== String(value)) element.dataset[name] = value;
}

export const byId = (id) => document.getElementById(id);
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A canvas sized to its box and the screen's pixels, cleared; null when it is not shown. */
export function cleared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}
