/** The few steps into the document that every card takes. */

/**
 * @param {string} tag  with its classes: "td.number"
 * @param {Record<string, any>} attributes  true: present, null: absent
 * @param {...(Node | string)} children
 */
export function element(tag, attributes = {}, ...children) {
    const [name, ...classes] = tag.split(".");
    const node = document.createElement(name);

    if (classes.length) {
        node.className = classes.join(" ");
    }
    for (const [key, value] of Object.entries(attributes)) {
        attribute(node, key, value);
    }
    node.append(...children);
    return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function drawing(tag, attributes, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) {
        node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
}

/** Writes only what changed: an untouched cell costs no layout. */
export function text(node, value) {
    if (node.textContent !== value) {
        node.textContent = value;
        return true;
    }
    return false;
}

export function attribute(node, name, value) {
    if (value === null || value === undefined || value === false) {
        node.removeAttribute(name);
    } else if (node.getAttribute(name) !== String(value)) {
        node.setAttribute(name, value === true ? "" : value);
    }
}

let announcer;

/** Told once, politely, to who listens to the page. */
export function announce(words) {
    announcer ??= document.getElementById("announce");
    text(announcer, words);
}
