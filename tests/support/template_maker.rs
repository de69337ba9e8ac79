//! Makes templates at random, the same ones each time.

/// Makes templates.
pub(crate) struct Maker(u64);

/// Values of every type that the test's values have.
const ATOMS: &[&str] = &[
    ".ARCH", ".VERSION", ".EMPTY", ".MISSING", ".nothing", ".yes", ".no", ".zero", ".one", ".many", ".negative",
    ".pi", ".whole", ".tiny", ".list", ".numbers", ".mixed", ".none", ".map", ".bare", ".texts", ".map.a",
    ".map.c.deep", ".map.x", ".texts.FIRST", ".UNICODE", ".LINES", "1", "0", "-3", "2.5", "1e3", "0x1f", "'a'",
    "\"\"", "\"a\"", "\"a.b.c\"", "\"12\"", "\"v1.2.3\"", "`r\"w`", "true", "false", "nil", "$", "$x", ".",
    "\"%d-%s|%v\"", "\"%5.2f %x %q\"", "\"[a-c]+\"", "\"(.)(.)\"", "\"${2}$1\"", "\",\"", "\"1.0\"",
];

/// Functions with the number of arguments that they mostly have.
const FUNCTIONS: &[(&str, usize)] = &[
    ("and", 2), ("or", 2), ("not", 1), ("eq", 2), ("eq", 3), ("ne", 2), ("lt", 2), ("le", 2), ("gt", 2), ("ge", 2),
    ("len", 1), ("index", 2), ("print", 2), ("print", 3), ("println", 2), ("printf", 2), ("printf", 3), ("html", 1),
    ("js", 1), ("urlquery", 1), ("trim", 1), ("upper", 1), ("lower", 1), ("title", 1), ("untitle", 1),
    ("snakecase", 1), ("camelcase", 1), ("kebabcase", 1), ("nospace", 1), ("repeat", 2), ("trunc", 2),
    ("substr", 3), ("abbrev", 2), ("contains", 2), ("hasPrefix", 2), ("hasSuffix", 2), ("quote", 1), ("quote", 2),
    ("squote", 1), ("cat", 2), ("indent", 2), ("nindent", 2), ("replace", 3), ("plural", 3), ("split", 2),
    ("splitList", 2), ("splitn", 3), ("join", 2), ("sortAlpha", 1), ("toString", 1), ("toStrings", 1),
    ("trimAll", 2), ("trimPrefix", 2), ("trimSuffix", 2), ("default", 2), ("empty", 1), ("coalesce", 3),
    ("ternary", 3), ("list", 2), ("list", 0), ("append", 2), ("prepend", 2), ("first", 1), ("last", 1), ("rest", 1),
    ("initial", 1), ("reverse", 1), ("uniq", 1), ("without", 2), ("has", 2), ("slice", 2), ("slice", 3),
    ("concat", 2), ("compact", 1), ("chunk", 2), ("until", 1), ("untilStep", 3), ("seq", 1), ("seq", 2), ("seq", 3),
    ("dict", 2), ("dict", 4), ("get", 2), ("hasKey", 2), ("pick", 2), ("omit", 2), ("merge", 2),
    ("mergeOverwrite", 2), ("dig", 3), ("set", 3), ("pluck", 2), ("add", 2), ("add1", 1), ("sub", 2), ("mul", 2),
    ("div", 2), ("mod", 2), ("max", 2), ("min", 2), ("ceil", 1), ("floor", 1), ("round", 2), ("int", 1),
    ("int64", 1), ("float64", 1), ("atoi", 1), ("toJson", 1), ("toPrettyJson", 1), ("fromJson", 1), ("typeOf", 1),
    ("kindOf", 1), ("deepEqual", 2), ("regexMatch", 2), ("regexFind", 2), ("regexFindAll", 3),
    ("regexReplaceAll", 3), ("regexSplit", 3), ("regexQuoteMeta", 1), ("semver", 1), ("semverCompare", 2),
    ("b64enc", 1), ("sha1sum", 1), ("base", 1), ("dir", 1), ("clean", 1), ("ext", 1),
];

const PIECES: &[&str] = &["{{", "}}", "-", " ", "\n", "(", ")", "|", ".", "$", ":=", "=", "\"", "`", "'", "end", "if ",
    "range ", "define ", "1", "é", "\u{0}", "%", "{", "/*", "*/", ","];

impl Maker {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// A template: `$x` is there in all of it.
    pub(crate) fn template(&mut self) -> String {
        let start = format!("{{{{ $x := {} }}}}", self.pipeline(1));
        let nodes: String = (0..=self.below(3)).map(|_| self.node(2)).collect();
        let end = if self.below(8) == 0 { format!("{{{{ define \"t\" }}}}[{}]{{{{ end }}}}", self.define()) } else { String::new() };
        format!("{start}{nodes}{end}")
    }

    fn define(&mut self) -> String {
        format!("{{{{ {} }}}}", self.pick(&[".", "$", ". | print", "print ."]))
    }

    fn node(&mut self, depth: usize) -> String {
        let (left, right) = (self.pick(&["{{ ", "{{ ", "{{- "]), self.pick(&[" }}", " }}", " -}}"]));
        let pipeline = self.pipeline(2);
        let text = self.pick(&["", " ", "\n", "text", "\ta "]);
        if depth == 0 {
            return format!("{text}{left}{pipeline}{right}{text}");
        }
        match self.below(10) {
            0 | 1 => format!("{left}if {pipeline}{right}{}{{{{ end }}}}", self.node(depth - 1)),
            2 => {
                let (yes, no) = (self.node(depth - 1), self.node(depth - 1));
                format!("{{{{ if {pipeline} }}}}{yes}{left}else{right}{no}{{{{ end }}}}")
            }
            3 => {
                let (body, other) = (self.node(depth - 1), self.node(depth - 1));
                format!("{{{{ range {pipeline} }}}}{body},{{{{ else }}}}{other}{{{{ end }}}}")
            }
            4 => format!("{{{{ range $k, $x := {pipeline} }}}}{{{{ $k }}}}{}{{{{ end }}}}", self.node(depth - 1)),
            5 => format!("{{{{ with {pipeline} }}}}{}{{{{ end }}}}", self.node(depth - 1)),
            6 => format!("{{{{ $x = {pipeline} }}}}{text}"),
            7 => format!("{{{{ range $i, $x := .list }}}}{{{{ if eq $i 1 }}}}{{{{ {} }}}}{{{{ end }}}}{text}{left}{pipeline}{right}{{{{ end }}}}", self.pick(&["break", "continue"])),
            _ => format!("{text}{left}{pipeline}{right}{text}"),
        }
    }

    fn pipeline(&mut self, depth: usize) -> String {
        let mut pipeline = self.command(depth);
        if self.below(4) == 0 {
            let (name, arguments) = FUNCTIONS[self.below(FUNCTIONS.len())];
            pipeline += &format!(" | {name}");
            for _ in 1..arguments {
                pipeline += &format!(" {}", self.operand(0));
            }
        }
        pipeline
    }

    fn command(&mut self, depth: usize) -> String {
        if self.below(5) == 0 {
            return self.pick(ATOMS).to_owned();
        }
        let (name, arguments) = FUNCTIONS[self.below(FUNCTIONS.len())];
        let mut command = name.to_owned();
        for _ in 0..arguments {
            command += &format!(" {}", self.operand(depth));
        }
        command
    }

    fn operand(&mut self, depth: usize) -> String {
        if depth > 0 && self.below(3) == 0 {
            let field = self.pick(&["", "", "", "", "", ".a"]);
            return format!("({}){field}", self.pipeline(depth - 1));
        }
        self.pick(ATOMS).to_owned()
    }

    /// A template with something taken out, put in or doubled.
    pub(crate) fn damage(&mut self, template: &str) -> String {
        let mut chars: Vec<char> = template.chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(chars.len() + 1);
            match self.below(3) {
                0 if at < chars.len() => {
                    let end = (at + 1 + self.below(4)).min(chars.len());
                    chars.drain(at..end);
                }
                1 => {
                    let part: Vec<char> = chars[at..].iter().take(12).copied().collect();
                    chars.splice(at..at, part);
                }
                _ => {
                    let piece = self.pick(PIECES);
                    chars.splice(at..at, piece.chars());
                }
            }
        }
        chars.into_iter().collect()
    }
}
