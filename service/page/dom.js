/** An element with its properties, listeners (`onclick`) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.includes("-") || key === "role" || !(key in element)) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Radio buttons that look like one control; `choose` gets the value that was picked. */
export function choice(label, options, value, choose) {
  const name = `choice-${(choice.count = (choice.count ?? 0) + 1)}`;
  const inputs = options.map(([key, text]) => {
    const input = h("input", { type: "radio", name, value: key, checked: key === value,
      onchange: () => choose(key) });
    return [input, h("label", {}, input, h("span", { textContent: text }))];
  });
  const element = h("fieldset", { className: "choice" }, h("legend", { textContent: label }),
    inputs.map(([, wrapped]) => wrapped));
  return {
    element,
    set(key) { for (const [input] of inputs) input.checked = input.value === key; },
    offer(keys) { for (const [input, wrapped] of inputs) wrapped.hidden = !keys.includes(input.value); },
  };
}

/** A slider with its name and value beside it; `say` turns the number into what is read. */
export function slider(label, { min, max, step, value, say = String, change }) {
  const output = h("output", { textContent: say(value) });
  const input = h("input", { type: "range", min, max, step, value, "aria-valuetext": say(value),
    oninput: () => { show(); change(input.valueAsNumber); } });
  const show = () => {
    output.textContent = say(input.valueAsNumber);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  // The input first: a label is of the first of its elements that can have one, and an output can.
  const element = h("label", { className: "slider" }, h("span", { textContent: label }), input, output);
  return {
    element, input,
    set(number, limits = {}, words = say) {
      say = words;
      Object.assign(input, limits);
      input.value = number;
      show();
    },
  };
}

/** A control with its name above it. */
export const field = (label, control) =>
  h("label", { className: "field" }, h("span", { textContent: label }), control);

/** A list of models to choose from. */
export function modelMenu(label, names, value, choose) {
  const select = h("select", { "aria-label": label, onchange: () => choose(select.value) },
    names.map((name) => h("option", { value: name, textContent: name })));
  select.value = value;
  return select;
}
