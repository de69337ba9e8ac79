//! Makes templates at random, the same ones each time. Most of them are well typed, since the others all end
//! in an error.

/// Makes templates.
pub(crate) struct Maker(u64);

/// Operands by the letter of their type: text, int, bool, list, mapping, anything, a version, a constraint, a
/// regular expression, a replacement, a format, a new mapping, a few
/// characters, what becomes a number, a text that does.
const ATOMS: &[(char, &[&str])] = &[
    (
        't',
        &[
            ".ARCH",
            ".VERSION",
            ".EMPTY",
            ".UNICODE",
            ".LINES",
            ".HTML",
            ".NAME",
            ".texts.FIRST",
            "\"\"",
            "\"a\"",
            "\"a.b.c\"",
            "\"12\"",
            "\"-0x1f\"",
            "\"1.0\"",
            "`r\"w`",
            "\"HTTPServer20xOK\"",
            "\"some_words here\"",
            "\"/usr/lib//../x.ko\"",
            "\"[1, {\\\"a\\\": 2.5}]\"",
            "\"tab\\t\\x01\"",
        ],
    ),
    ('n', &["0", "1", "2", "3", "-1", "5", ".one", ".many", ".zero", ".negative", "'a'", "0x1f"]),
    ('b', &[".yes", ".no", "true", "false"]),
    ('l', &[".list", ".numbers", ".mixed", ".none", ".people"]),
    ('m', &[".map", ".bare", ".map.c", ".map.c.deep"]),
    // Mappings that are changed are new ones: Go dies of one that holds itself.
    (
        'd',
        &["(dict)", "(dict \"a\" 1 \"b\" (list 1))", "(dict \"c\" (dict \"deep\" \"x\"))", "(deepCopy .map)"],
    ),
    (
        'a',
        &[
            ".pi",
            ".whole",
            ".tiny",
            ".huge",
            ".MISSING",
            ".nothing",
            "2.5",
            "1e3",
            "nil",
            ".texts",
            ".map.x",
            "$x",
            ".",
            ".texts.NONE",
        ],
    ),
    (
        'v',
        &[
            "\"1.2.3\"",
            "\"v1.2\"",
            "\"2.0.0-rc.1+x\"",
            "\"0.2.9\"",
            "\"0.0.3\"",
            ".VERSION",
            "\"1.10.0-alpha\"",
        ],
    ),
    (
        'c',
        &[
            "\"^1.2\"",
            "\"~1.2.3\"",
            "\">=1.0.0 <2.0.0\"",
            "\"1.x || >2\"",
            "\"1.0 - 1.9\"",
            "\"!=1.2.x\"",
            "\"*\"",
            "\"<=0.2\"",
            "\"^0.2.1\"",
            "\">1.2.0-0\"",
            "\"=>1, !=1.2.3\"",
            "\">\"",
            "\"~>0.0.3\"",
            "\"<1.10.0\"",
        ],
    ),
    (
        'r',
        &[
            "\"[a-c]+\"",
            "\"(.)(.)\"",
            "\"\\\\d+\"",
            "\"^|$\"",
            "\"\"",
            "\"x*\"",
            "\"(?P<n>\\\\w)\\\\b\"",
            "\"[^\\\\s.]+?\"",
            "\"(?i)HTTP|e{1,2}\"",
            "\"[\"",
            "\"\\n\"",
        ],
    ),
    ('e', &["\"$1\"", "\"${2}-$1\"", "\"<$0>\"", "\"$nx$$\"", "\"\"", "\"a\""]),
    (
        'f',
        &[
            "\"%v\"",
            "\"%s|%d\"",
            "\"%5v|%-6v|%06v\"",
            "\"%q %x %X\"",
            "\"%+d % d %#x\"",
            "\"%8.3f|%e|%g\"",
            "\"%T %#v\"",
            "\"%t %c %U\"",
            "\"%[2]v %[1]q\"",
            "\"%*d\"",
            "\"%.2s%%\"",
            "\"%o %b %O\"",
            "\"%#q %+q\"",
            "\"%z %!\"",
            "\"%03d|%-4d|\"",
        ],
    ),
    // What becomes a number becomes a small one: Go counts up to any.
    (
        'k',
        &[
            "\"12\"", "\"-3\"", "\"3.0\"", "\"3.5\"", "2.5", ".pi", ".tiny", "\"0x5\"", "\"017\"", "true",
            ".list", ".nothing",
        ],
    ),
    ('i', &["\"12\"", "\"-3\"", "\"+4\"", "\"0x5\"", "\"\"", "\"017\"", ".VERSION"]),
    ('s', &["\".\"", "\",\"", "\"\"", "\"a\"", "\" \"", "\"_\"", "\"x86\""]),
];

/// Functions: name, types of the arguments, type of the result.
const FUNCTIONS: &[(&str, &str, char)] = &[
    ("and", "aa", 'a'),
    ("or", "aa", 'a'),
    ("and", "bb", 'b'),
    ("or", "tt", 't'),
    ("not", "a", 'b'),
    ("eq", "tt", 'b'),
    ("eq", "nn", 'b'),
    ("eq", "nnn", 'b'),
    ("eq", "aa", 'b'),
    ("ne", "tt", 'b'),
    ("ne", "nn", 'b'),
    ("lt", "nn", 'b'),
    ("lt", "tt", 'b'),
    ("le", "nn", 'b'),
    ("gt", "nn", 'b'),
    ("ge", "tt", 'b'),
    ("len", "l", 'n'),
    ("len", "t", 'n'),
    ("len", "m", 'n'),
    ("index", "ln", 'a'),
    ("index", "ms", 'a'),
    ("index", "tn", 'a'),
    ("print", "aa", 't'),
    ("print", "nta", 't'),
    ("print", "lm", 't'),
    ("println", "an", 't'),
    ("printf", "fa", 't'),
    ("printf", "fnt", 't'),
    ("printf", "ftn", 't'),
    ("printf", "fl", 't'),
    ("printf", "fm", 't'),
    ("printf", "faaa", 't'),
    ("html", "a", 't'),
    ("html", "t", 't'),
    ("js", "t", 't'),
    ("urlquery", "t", 't'),
    ("urlquery", "a", 't'),
    ("trim", "t", 't'),
    ("upper", "t", 't'),
    ("lower", "t", 't'),
    ("title", "t", 't'),
    ("untitle", "t", 't'),
    ("snakecase", "t", 't'),
    ("camelcase", "t", 't'),
    ("kebabcase", "t", 't'),
    ("nospace", "t", 't'),
    ("repeat", "nt", 't'),
    ("trunc", "nt", 't'),
    ("substr", "nnt", 't'),
    ("abbrev", "nt", 't'),
    ("contains", "st", 'b'),
    ("hasPrefix", "st", 'b'),
    ("hasSuffix", "st", 'b'),
    ("quote", "a", 't'),
    ("quote", "tl", 't'),
    ("squote", "at", 't'),
    ("cat", "at", 't'),
    ("cat", "lnb", 't'),
    ("indent", "nt", 't'),
    ("nindent", "nt", 't'),
    ("replace", "sst", 't'),
    ("plural", "ttn", 't'),
    ("split", "st", 'a'),
    ("splitList", "st", 'l'),
    ("splitn", "snt", 'a'),
    ("join", "sl", 't'),
    ("join", "sa", 't'),
    ("sortAlpha", "l", 'l'),
    ("sortAlpha", "a", 'l'),
    ("toString", "a", 't'),
    ("toStrings", "l", 'l'),
    ("toStrings", "a", 'l'),
    ("trimAll", "st", 't'),
    ("trimPrefix", "st", 't'),
    ("trimSuffix", "st", 't'),
    ("default", "aa", 'a'),
    ("default", "ta", 'a'),
    ("default", "tt", 'a'),
    ("empty", "a", 'b'),
    ("coalesce", "aaa", 'a'),
    ("ternary", "aab", 'a'),
    ("ternary", "ttb", 'a'),
    ("all", "aa", 'b'),
    ("any", "aa", 'b'),
    ("list", "at", 'l'),
    ("list", "nn", 'l'),
    ("list", "", 'l'),
    ("append", "la", 'l'),
    ("prepend", "lt", 'l'),
    ("first", "l", 'a'),
    ("last", "l", 'a'),
    ("rest", "l", 'l'),
    ("initial", "l", 'l'),
    ("reverse", "l", 'l'),
    ("uniq", "l", 'l'),
    ("without", "la", 'l'),
    ("without", "ltn", 'l'),
    ("has", "al", 'b'),
    ("has", "tl", 'b'),
    ("slice", "ln", 'a'),
    ("slice", "lnn", 'a'),
    ("concat", "ll", 'l'),
    ("compact", "l", 'l'),
    ("chunk", "nl", 'a'),
    ("until", "n", 'l'),
    ("untilStep", "nnn", 'l'),
    ("seq", "n", 't'),
    ("seq", "nn", 't'),
    ("seq", "nnn", 't'),
    ("dict", "ta", 'm'),
    ("dict", "tnsl", 'm'),
    ("dict", "t", 'm'),
    ("get", "ms", 'a'),
    ("hasKey", "ms", 'b'),
    ("pick", "ms", 'm'),
    ("omit", "ms", 'm'),
    ("merge", "dd", 'a'),
    ("mergeOverwrite", "dd", 'a'),
    ("dig", "sam", 'a'),
    ("set", "dst", 'm'),
    ("unset", "ds", 'm'),
    ("pluck", "smm", 'l'),
    ("deepCopy", "a", 'a'),
    ("deepCopy", "m", 'a'),
    ("add", "an", 'a'),
    ("add", "nn", 'a'),
    ("add1", "a", 'a'),
    ("sub", "na", 'a'),
    ("mul", "nn", 'a'),
    ("div", "nn", 'a'),
    ("mod", "nn", 'a'),
    ("max", "nnn", 'a'),
    ("min", "na", 'a'),
    ("ceil", "a", 'a'),
    ("floor", "n", 'a'),
    ("round", "an", 'a'),
    ("int", "k", 'n'),
    ("int64", "t", 'a'),
    ("float64", "t", 'a'),
    ("float64", "a", 'a'),
    ("atoi", "i", 'n'),
    ("toJson", "a", 't'),
    ("toJson", "l", 't'),
    ("toJson", "m", 't'),
    ("toPrettyJson", "m", 't'),
    ("toPrettyJson", "l", 't'),
    ("toRawJson", "t", 't'),
    ("fromJson", "t", 'a'),
    ("typeOf", "a", 't'),
    ("typeOf", "l", 't'),
    ("kindOf", "a", 't'),
    ("kindIs", "ta", 'b'),
    ("deepEqual", "aa", 'b'),
    ("deepEqual", "ll", 'b'),
    ("regexMatch", "rt", 'b'),
    ("regexFind", "rt", 't'),
    ("regexFindAll", "rtn", 'l'),
    ("regexReplaceAll", "rte", 't'),
    ("regexReplaceAllLiteral", "rte", 't'),
    ("regexSplit", "rtn", 'l'),
    ("regexQuoteMeta", "t", 't'),
    ("semver", "v", 'a'),
    ("semverCompare", "cv", 'b'),
    ("b64enc", "t", 't'),
    ("sha1sum", "t", 't'),
    ("sha256sum", "t", 't'),
    ("adler32sum", "t", 't'),
    ("base", "t", 't'),
    ("dir", "t", 't'),
    ("clean", "t", 't'),
    ("ext", "t", 't'),
];

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "-",
    " ",
    "\n",
    "(",
    ")",
    "|",
    ".",
    "$",
    ":=",
    "=",
    "\"",
    "`",
    "'",
    "end",
    "if ",
    "range ",
    "define ",
    "1",
    "é",
    "\u{0}",
    "%",
    "{",
    "/*",
    "*/",
    ",",
    "9999999999",
    "\\",
];

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
        let start = format!("{{{{ $x := {} }}}}", self.pipeline('a', 1));
        let nodes: String = (0..=self.below(2)).map(|_| self.node(2)).collect();
        if self.below(8) > 0 {
            return start + &nodes;
        }
        let (body, dot) = (self.pick(&[".", "$", ". | print", "print ."]), self.pipeline('a', 1));
        format!(
            "{start}{nodes}{{{{ define \"t\" }}}}[{{{{ {body} }}}}]{{{{ end }}}}{{{{ template \"t\" {dot} }}}}"
        )
    }

    fn node(&mut self, depth: usize) -> String {
        let (left, right) = (self.pick(&["{{ ", "{{ ", "{{- "]), self.pick(&[" }}", " }}", " -}}"]));
        let kind = self.pick(&["t", "t", "n", "b", "l", "m", "a"]).chars().next().unwrap();
        let pipeline = self.pipeline(kind, 2);
        let text = self.pick(&["", " ", "\n", "text", "\ta "]);
        if depth == 0 {
            return format!("{text}{left}{pipeline}{right}{text}");
        }
        match self.below(12) {
            0 | 1 => format!("{left}if {pipeline}{right}{}{{{{ end }}}}", self.node(depth - 1)),
            2 => {
                let (yes, no) = (self.node(depth - 1), self.node(depth - 1));
                format!("{{{{ if {pipeline} }}}}{yes}{left}else{right}{no}{{{{ end }}}}")
            }
            3 => {
                let (list, body, other) = (self.pipeline('l', 1), self.node(0), self.node(depth - 1));
                format!("{{{{ range $x := {list} }}}}{body},{{{{ else }}}}{other}{{{{ end }}}}")
            }
            4 => {
                let map = self.pipeline('m', 1);
                format!("{{{{ range $k, $x := {map} }}}}{{{{ $k }}}}={{{{ $x }}}}{left}end{right}")
            }
            5 => format!(
                "{{{{ with {pipeline} }}}}{{{{ . }}}}{{{{ else }}}}{}{{{{ end }}}}",
                self.node(depth - 1)
            ),
            6 => format!("{{{{ $x = {pipeline} }}}}{text}"),
            7 => {
                let leave = self.pick(&["break", "continue"]);
                format!(
                    "{{{{ range $i, $x := .list }}}}{{{{ if eq $i 1 }}}}{{{{ {leave} }}}}{{{{ end }}}}{text}{left}$x{right}{{{{ end }}}}"
                )
            }
            _ => format!("{text}{left}{pipeline}{right}{text}"),
        }
    }

    fn pipeline(&mut self, kind: char, depth: usize) -> String {
        if depth > 0 && self.below(4) == 0 {
            let (name, arguments, _) = self.function(kind);
            if let Some((last, before)) = arguments.chars().collect::<Vec<_>>().split_last() {
                let mut pipeline = format!("{} | {name}", self.command(*last, depth - 1));
                for argument in before {
                    pipeline += &format!(" {}", self.operand(*argument, 0));
                }
                return pipeline;
            }
        }
        self.command(kind, depth)
    }

    /// A function with that result.
    fn function(&mut self, kind: char) -> (&'static str, &'static str, char) {
        let fitting: Vec<_> =
            FUNCTIONS.iter().filter(|(_, _, result)| kind == 'a' || *result == kind).collect();
        if fitting.is_empty() { FUNCTIONS[0] } else { *fitting[self.below(fitting.len())] }
    }

    fn command(&mut self, kind: char, depth: usize) -> String {
        let atom_only = !"tnblma".contains(kind);
        if atom_only || self.below(6) == 0 {
            return match self.operand(kind, 0) {
                nil if nil == "nil" => ".nothing".to_owned(),
                other => other,
            };
        }
        let (name, arguments, _) = self.function(kind);
        let mut command = name.to_owned();
        for argument in arguments.chars() {
            command += &format!(" {}", self.operand(argument, depth));
        }
        command
    }

    fn operand(&mut self, kind: char, depth: usize) -> String {
        let kind = match self.below(60) {
            0 => 'a', // not what belongs there
            _ if kind == 'a' => self.pick(&["a", "a", "t", "n", "b", "l", "m"]).chars().next().unwrap(),
            _ => kind,
        };
        if depth > 0 && "tnblma".contains(kind) && self.below(3) == 0 {
            let field = self.pick(&["", "", "", "", "", "", "", "", "", "", "", ".a"]);
            return format!("({}){field}", self.pipeline(kind, depth - 1));
        }
        let atoms = ATOMS.iter().find(|(own, _)| *own == kind).unwrap().1;
        self.pick(atoms).to_owned()
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
