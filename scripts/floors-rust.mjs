// Reads which file of the engine uses which: `use` lines and paths alike, tests aside. A name that a file hands on counts as one of
// the file that declares it.

/** Words and signs of Rust, without comments and without what strings hold. */
function tokensOf(source) {
  const comment = /\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\//;
  const string = /b?r(#*)"[^]*?"\1|b?"(?:\\[^]|[^"\\])*"|b?'(?:\\[^']+|\\'|[^\\'])'/;
  const word = /'?[A-Za-z_]\w*|::|->|=>|[^\s\w]|\d\w*/;
  const all = new RegExp(`${comment.source}|(${string.source})|(${word.source})`, "g");
  const tokens = [];
  for (const [, text, , token] of source.matchAll(all)) {
    if (text !== undefined) tokens.push('""');
    else if (token !== undefined) tokens.push(token);
  }
  return tokens;
}

/** Where the group ends that begins at `at`. */
function closing(tokens, at) {
  const ends = { "{": "}", "(": ")", "[": "]" };
  const [open, close] = [tokens[at], ends[tokens[at]]];
  for (let depth = 0; at < tokens.length; at += 1) {
    if (tokens[at] === open) depth += 1;
    else if (tokens[at] === close) depth -= 1;
    if (depth === 0) return at;
  }
  return at;
}

/** The tokens without the items that only tests and models have, and the names of such modules that are files. */
function withoutTests(tokens) {
  const kept = [];
  const left = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const end = tokens[at] === "#" && tokens[at + 1] === "[" ? closing(tokens, at + 1) : undefined;
    const attribute = end && tokens.slice(at + 2, end).join("");
    if (attribute === undefined || !/^cfg\((all\()?(test|loom)\b/.test(attribute)) {
      kept.push(tokens[at]);
      continue;
    }
    at = end + 1;
    while (tokens[at] === "#") at = closing(tokens, at + 1) + 1;
    // The item ends with its body, or with a semicolon if it has none.
    while (at < tokens.length && tokens[at] !== ";" && tokens[at] !== "{") {
      if (tokens[at] === "mod" && tokens[at + 2] === ";") left.push(tokens[at + 1]);
      at = tokens[at] === "(" || tokens[at] === "[" ? closing(tokens, at) + 1 : at + 1;
    }
    const isGroup = tokens[at - 1] === "::";
    if (tokens[at] === "{") at = closing(tokens, at);
    if (isGroup) at += 1;
  }
  return { kept, left };
}

const KINDS = ["struct", "enum", "union", "trait", "type", "fn", "const", "static"];
const TYPES = ["struct", "enum", "union"];
const isName = (token) => /^[A-Za-z_]/.test(token ?? "");

/** The paths of one `use`, each with the name that it gets, and where the line ends. */
function usesAt(tokens, start) {
  const found = [];
  const walk = (at, before) => {
    const parts = [...before];
    for (;;) {
      if (tokens[at] === "{") {
        const end = closing(tokens, at);
        for (at += 1; at < end; at += 1) at = walk(at, parts);
        return end + 1;
      }
      if (tokens[at] === "*") {
        found.push({ path: parts, name: "*" });
        return at + 1;
      }
      if (tokens[at] !== "::") parts.push(tokens[at]);
      at += 1;
      if (tokens[at] === "::") continue;
      if (tokens[at - 1] === "::") continue;
      const renamed = tokens[at] === "as";
      const path = parts.at(-1) === "self" && parts.length > 1 ? parts.slice(0, -1) : parts;
      found.push({ path, name: renamed ? tokens[at + 1] : path.at(-1) });
      return renamed ? at + 2 : at;
    }
  };
  return { uses: found, end: walk(start, []) };
}

/** What a file declares, hands on and mentions. */
function scan(tokens, own, modules) {
  const { declared, types, handedOn, mentioned, inherent } = {
    declared: new Set(),
    types: new Set(),
    handedOn: [],
    mentioned: [],
    inherent: [],
  };
  /** Modules within the file: what is below them is one step further from `super`. */
  const inner = [];
  for (let at = 0; at < tokens.length; at += 1) {
    while (inner.length > 0 && at > inner.at(-1).end) inner.pop();
    const here = [...own, ...inner.map(({ name }) => name)];
    const token = tokens[at];
    if (token === "mod" && tokens[at + 2] === "{") {
      inner.push({ name: tokens[at + 1], end: closing(tokens, at + 2) });
      at += 2;
    } else if (token === "mod" && tokens[at + 2] === ";") {
      at += 2;
    } else if (token === "use") {
      const { uses, end } = usesAt(tokens, at + 1);
      for (const use of uses) {
        const path = absolute(use.path, here, modules);
        if (path) handedOn.push({ path, name: use.name });
      }
      at = end;
    } else if (token === "macro_rules") {
      declared.add(tokens[at + 2]);
    } else if (KINDS.includes(token) && isName(tokens[at + 1])) {
      declared.add(tokens[at + 1]);
      if (TYPES.includes(token)) types.add(tokens[at + 1]);
    } else if (token === "impl" && !"->:(,&<=+".includes(tokens[at - 1] ?? ";")) {
      const name = inherentAt(tokens, at + 1);
      if (name) inherent.push(name);
    } else if (isName(token) && tokens[at + 1] === "::" && !["::", "."].includes(tokens[at - 1])) {
      const parts = [token];
      while (tokens[at + 1] === "::" && isName(tokens[at + 2])) {
        parts.push(tokens[at + 2]);
        at += 2;
      }
      const path = absolute(parts, here, modules);
      if (path) mentioned.push(path);
    }
  }
  return { declared, types, handedOn, mentioned, inherent };
}

/** The type of an `impl` that is of no trait. */
function inherentAt(tokens, start) {
  let at = start;
  let name;
  for (let depth = 0; tokens[at] !== "{" && tokens[at] !== "where"; at += 1) {
    if (at >= tokens.length) return undefined;
    if (tokens[at] === "<") depth += 1;
    else if (tokens[at] === ">") depth -= 1;
    else if (depth === 0 && tokens[at] === "for") return undefined;
    else if (depth === 0 && isName(tokens[at]) && tokens[at] !== "dyn") name = tokens[at];
  }
  return name;
}

/** A path from the engine's root, or nothing for one of another crate. */
function absolute(parts, own, modules) {
  const [first, ...rest] = parts;
  if (first === "crate") return rest;
  if (first === "self") return [...own, ...rest];
  if (first === "super") {
    const up = own.slice(0, -1);
    return rest[0] === "super" ? absolute(rest, up, modules) : [...up, ...rest];
  }
  return modules.has([...own, first].join("/")) ? [...own, ...parts] : undefined;
}

/** Each file by its name with the files that it uses, and inherent `impl`s that stand elsewhere than their type. */
export function readRust(sources) {
  const fileOf = new Map();
  for (const name of sources.keys()) {
    fileOf.set(name === "lib.rs" ? "" : name.replace(/(\/mod)?\.rs$/, ""), name);
  }
  const kept = new Map();
  const ofTests = [];
  for (const [module, name] of fileOf) {
    const { kept: tokens, left } = withoutTests(tokensOf(sources.get(name)));
    kept.set(module, tokens);
    for (const inner of left) ofTests.push(module === "" ? inner : `${module}/${inner}`);
  }
  for (const module of ofTests) fileOf.delete(module);
  const scans = new Map();
  for (const module of fileOf.keys()) {
    scans.set(module, scan(kept.get(module), module === "" ? [] : module.split("/"), fileOf));
  }

  /** The file that declares what a path names. */
  const declaring = (path, tried = new Set()) => {
    let depth = path.length;
    while (!fileOf.has(path.slice(0, depth).join("/"))) depth -= 1;
    const module = path.slice(0, depth).join("/");
    const name = path[depth];
    const { declared, handedOn } = scans.get(module);
    if (name === undefined || declared.has(name) || tried.has(path.join("/"))) return module;
    tried.add(path.join("/"));
    const rest = path.slice(depth + 1);
    const found = handedOn.find((use) => use.name === name);
    if (found) return declaring([...found.path, ...rest], tried);
    for (const use of handedOn.filter((it) => it.name === "*")) {
      const target = declaring([...use.path, name], tried);
      if (scans.get(target).declared.has(name)) return target;
    }
    return module;
  };

  const files = new Map();
  const faults = [];
  for (const [module, { handedOn, mentioned, inherent, types }] of scans) {
    const name = fileOf.get(module);
    const targets = [...handedOn.map(({ path }) => path), ...mentioned].map((path) =>
      declaring(path),
    );
    files.set(name, new Set(targets.filter((it) => it !== module).map((it) => fileOf.get(it))));
    for (const type of inherent) {
      if (!types.has(type))
        faults.push(`${name} has an impl of ${type}, which is declared elsewhere`);
    }
  }
  return { files, faults };
}
