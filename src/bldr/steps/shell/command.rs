//! Lists, pipelines and commands out of characters.

use super::reader::{ParseError, Parsed, Pending, Reader, is_meta, is_name, is_name_start};
use super::syntax::{
    AndOr, Assignment, Command, CommandKind, Connector, List, Part, Pipeline, Redirect, RedirectKind, Simple,
    Word,
};

/// Words that end a list where a command may stand.
const CLOSING: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];
/// Words that begin what is not run natively.
const REFUSED: [(&str, &str); 8] = [
    ("while", "a `while` loop"),
    ("until", "an `until` loop"),
    ("function", "a function"),
    ("select", "a `select` loop"),
    ("[[", "a `[[` test"),
    ("time", "`time`"),
    ("coproc", "a coprocess"),
    ("let", "arithmetic"),
];

/// Parses the text of a step.
pub(crate) fn parse(text: &str) -> Parsed<List> {
    let mut reader = Reader::new(text)?;
    let mut list = reader.list()?;
    if let Some(character) = reader.peek() {
        let word = reader.bare_word();
        let word = if word.is_empty() { character.to_string() } else { word };
        return Err(reader.error(format!("`{word}` is not expected here")));
    }
    reader.place_bodies(&mut list)?;
    Ok(list)
}

impl Reader {
    /// Commands up to the end, a `)`, a `;;` or a closing word, which is left.
    pub(super) fn list(&mut self) -> Parsed<List> {
        self.nest()?;
        let mut list = Vec::new();
        loop {
            self.skip_lines();
            if self.at_list_end() {
                break;
            }
            list.push(self.and_or()?);
            self.skip_blanks();
            match self.peek() {
                Some(';') if self.ahead(1) != Some(';') => self.skip(1),
                Some('&') => return self.unsupported(self.at(), "a command in the background"),
                Some('\n') => {}
                _ => break,
            }
        }
        self.rise();
        Ok(List(list))
    }

    fn at_list_end(&self) -> bool {
        match self.peek() {
            None | Some(')') => true,
            Some(';') => self.ahead(1) == Some(';'),
            Some(_) => CLOSING.contains(&self.bare_word().as_str()),
        }
    }

    /// Passes blanks, comments and ends of lines; bodies of here documents are read on the way.
    fn skip_lines(&mut self) {
        loop {
            self.skip_blanks();
            if self.peek() != Some('\n') {
                return;
            }
            self.skip(1);
            self.here_bodies();
        }
    }

    /// A list that may not be empty.
    fn commands(&mut self, of: &str) -> Parsed<List> {
        let list = self.list()?;
        if list.0.is_empty() {
            return Err(self.error(format!("there is no command in `{of}`")));
        }
        Ok(list)
    }

    fn and_or(&mut self) -> Parsed<AndOr> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let connector = if self.starts_with("&&") {
                Connector::And
            } else if self.starts_with("||") {
                Connector::Or
            } else {
                return Ok(AndOr { first, rest });
            };
            self.skip(2);
            self.skip_lines();
            rest.push((connector, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        self.skip_blanks();
        let negated = self.bare_word() == "!";
        if negated {
            self.skip(1);
            self.skip_blanks();
        }
        let mut commands = vec![self.command()?];
        loop {
            self.skip_blanks();
            if self.peek() != Some('|') || self.ahead(1) == Some('|') {
                return Ok(Pipeline { negated, commands });
            }
            if self.ahead(1) == Some('&') {
                return self.unsupported(self.at(), "`|&`");
            }
            self.skip(1);
            self.skip_lines();
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        let at = self.at();
        let word = self.bare_word();
        if let Some((_, what)) = REFUSED.iter().find(|(refused, _)| *refused == word) {
            return self.unsupported(at, *what);
        }
        if CLOSING.contains(&word.as_str()) || word == "in" {
            return Err(self.error(format!("`{word}` is not expected here")));
        }
        let kind = match word.as_str() {
            "{" => {
                self.skip(1);
                let list = self.commands("{")?;
                self.expect("}")?;
                CommandKind::Group(list)
            }
            "if" => self.conditional()?,
            "for" => self.for_loop()?,
            "case" => self.case()?,
            _ if self.starts_with("((") => return self.unsupported(at, "arithmetic"),
            _ if self.peek() == Some('(') => {
                self.skip(1);
                let list = self.commands("(")?;
                self.expect(")")?;
                CommandKind::Subshell(list)
            }
            _ => return self.simple(),
        };
        let mut redirects = Vec::new();
        loop {
            self.skip_blanks();
            if !self.redirect(&mut redirects)? {
                return Ok(Command { at, kind, redirects });
            }
        }
    }

    fn expect(&mut self, word: &str) -> Parsed<()> {
        self.skip_lines();
        let found = match word {
            ")" => self.peek() == Some(')'),
            _ => self.bare_word() == word,
        };
        if !found {
            return Err(self.error(format!("`{word}` is missing")));
        }
        self.skip(word.len()); // all of them ASCII
        Ok(())
    }

    fn conditional(&mut self) -> Parsed<CommandKind> {
        let mut branches = Vec::new();
        loop {
            let word = self.bare_word();
            self.skip(word.len()); // `if` or `elif`
            let condition = self.commands("if")?;
            self.expect("then")?;
            branches.push((condition, self.commands("then")?));
            if self.bare_word() != "elif" {
                break;
            }
        }
        let mut otherwise = None;
        if self.bare_word() == "else" {
            self.skip("else".len());
            otherwise = Some(self.commands("else")?);
        }
        self.expect("fi")?;
        Ok(CommandKind::If { branches, otherwise })
    }

    fn name(&mut self) -> Parsed<String> {
        self.skip_blanks();
        let at = self.at();
        let name = self.bare_word();
        if !is_variable(&name) {
            return Err(ParseError::Syntax { at, why: format!("`{name}` is no name of a variable") });
        }
        self.skip(name.len());
        Ok(name)
    }

    fn for_loop(&mut self) -> Parsed<CommandKind> {
        self.skip("for".len());
        self.skip_blanks();
        if self.starts_with("((") {
            return self.unsupported(self.at(), "arithmetic");
        }
        let name = self.name()?;
        self.skip_lines();
        let mut words = Vec::new();
        if self.bare_word() == "in" {
            self.skip("in".len());
            loop {
                self.skip_blanks();
                match self.peek() {
                    Some(';' | '\n') => break,
                    Some(character) if !is_meta(character) => words.push(self.word()?),
                    _ => return Err(self.error("the list of `for` has no end")),
                }
            }
        }
        self.skip_blanks();
        if self.peek() == Some(';') {
            self.skip(1);
        }
        self.expect("do")?;
        let body = self.commands("do")?;
        self.expect("done")?;
        Ok(CommandKind::For { name, words, body })
    }

    fn case(&mut self) -> Parsed<CommandKind> {
        self.skip("case".len());
        self.skip_blanks();
        if self.peek().is_none_or(is_meta) {
            return Err(self.error("`case` has no word"));
        }
        let word = self.word()?;
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_lines();
            if self.bare_word() == "esac" {
                self.skip("esac".len());
                return Ok(CommandKind::Case { word, arms });
            }
            if self.peek() == Some('(') {
                self.skip(1);
            }
            let mut patterns = Vec::new();
            loop {
                self.skip_blanks();
                if self.peek().is_none_or(is_meta) {
                    return Err(self.error("`case` has an arm without a pattern"));
                }
                patterns.push(self.word()?);
                self.skip_blanks();
                match self.bump() {
                    Some('|') => {}
                    Some(')') => break,
                    _ => return Err(self.error("a pattern of `case` has no `)`")),
                }
            }
            let body = self.list()?;
            arms.push((patterns, body));
            self.skip_lines();
            if self.starts_with(";;&") {
                return self.unsupported(self.at(), "`;;&`");
            }
            if self.starts_with(";;") {
                self.skip(2);
            } else if self.bare_word() != "esac" {
                return Err(self.error("an arm of `case` has no `;;`"));
            }
        }
    }

    fn simple(&mut self) -> Parsed<Command> {
        let at = self.at();
        let (mut simple, mut redirects) = (Simple::default(), Vec::new());
        loop {
            self.skip_blanks();
            if self.redirect(&mut redirects)? {
                continue;
            }
            match self.peek() {
                Some('(') if simple.words.len() == 1 && simple.assignments.is_empty() => {
                    return self.unsupported(at, "a function");
                }
                Some(character) if !is_meta(character) => {}
                Some('(') => return Err(self.error("`(` is not expected here")),
                _ => break,
            }
            if simple.words.is_empty()
                && let Some(assignment) = self.assignment()?
            {
                simple.assignments.push(assignment);
                continue;
            }
            simple.words.push(self.word()?);
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && redirects.is_empty() {
            let found = self
                .peek()
                .map_or_else(|| "the end".to_owned(), |found| format!("`{}`", found.escape_default()));
            return Err(self.error(format!("{found} stands where a command is expected")));
        }
        Ok(Command { at, kind: CommandKind::Simple(simple), redirects })
    }

    /// `NAME=value`, if that is what stands here.
    fn assignment(&mut self) -> Parsed<Option<Assignment>> {
        let mark = self.mark();
        let at = self.at();
        if !self.peek().is_some_and(is_name_start) {
            return Ok(None);
        }
        let mut name = String::new();
        while let Some(character) = self.peek().filter(|character| is_name(*character)) {
            name.push(character);
            self.skip(1);
        }
        if self.starts_with("+=") {
            return self.unsupported(at, "`+=`");
        }
        if self.peek() == Some('[') && self.array_element() {
            return self.unsupported(at, "an array");
        }
        if self.peek() != Some('=') {
            self.back_to(mark);
            return Ok(None);
        }
        self.skip(1);
        if self.peek() == Some('(') {
            return self.unsupported(at, "an array");
        }
        let value = self.word()?;
        Ok(Some(Assignment { name, value }))
    }

    /// Whether `[…]=` stands here.
    fn array_element(&self) -> bool {
        for index in 1.. {
            match self.ahead(index) {
                Some(']') => return self.ahead(index + 1) == Some('='),
                Some(character) if !is_meta(character) => {}
                _ => break,
            }
        }
        false
    }

    /// Reads a redirection, if one stands here; `&>` gives two.
    fn redirect(&mut self, redirects: &mut Vec<Redirect>) -> Parsed<bool> {
        let (at, mark) = (self.at(), self.mark());
        if self.starts_with("&>") {
            self.skip(2);
            let append = self.peek() == Some('>');
            self.skip(usize::from(append));
            let word = self.redirect_word()?;
            let kind = if append { RedirectKind::Append(word) } else { RedirectKind::Write(word) };
            redirects.push(Redirect { descriptor: 1, kind });
            redirects.push(Redirect { descriptor: 2, kind: RedirectKind::Duplicate(1) });
            return Ok(true);
        }
        let mut number = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            number.push(digit);
            self.skip(1);
        }
        let Some(direction @ ('<' | '>')) = self.peek() else {
            self.back_to(mark);
            return Ok(false);
        };
        if self.ahead(1) == Some('(') {
            return self.unsupported(at, "process substitution");
        }
        let default = u8::from(direction == '>');
        let descriptor = if number.is_empty() { default } else { number.parse().unwrap_or(u8::MAX) };
        if descriptor > 2 {
            return self.unsupported(at, format!("descriptor `{number}`"));
        }
        let kind = self.redirect_kind(direction)?;
        let fits = match &kind {
            RedirectKind::Read(_) | RedirectKind::Here(_) => descriptor == 0,
            _ => descriptor != 0,
        };
        if !fits {
            return self.unsupported(at, "such a redirection");
        }
        redirects.push(Redirect { descriptor, kind });
        Ok(true)
    }

    fn redirect_kind(&mut self, direction: char) -> Parsed<RedirectKind> {
        let at = self.at();
        for refused in ["<<<", "<>", "<&"] {
            if self.starts_with(refused) {
                return self.unsupported(at, format!("`{refused}`"));
            }
        }
        if self.starts_with("<<") {
            self.skip(2);
            return self.here();
        }
        if self.starts_with(">&") {
            self.skip(2);
            let word = self.redirect_word()?;
            return match word.literal().as_deref() {
                Some("1") => Ok(RedirectKind::Duplicate(1)),
                Some("2") => Ok(RedirectKind::Duplicate(2)),
                _ => self.unsupported(at, "such a redirection"),
            };
        }
        if self.starts_with(">>") {
            self.skip(2);
            return Ok(RedirectKind::Append(self.redirect_word()?));
        }
        self.skip(1);
        if direction == '>' {
            self.skip(usize::from(self.peek() == Some('|')));
            return Ok(RedirectKind::Write(self.redirect_word()?));
        }
        Ok(RedirectKind::Read(self.redirect_word()?))
    }

    fn redirect_word(&mut self) -> Parsed<Word> {
        self.skip_blanks();
        if self.peek().is_none_or(is_meta) {
            return Err(self.error("a redirection has no file"));
        }
        self.word()
    }

    fn here(&mut self) -> Parsed<RedirectKind> {
        let tabs = self.peek() == Some('-');
        self.skip(usize::from(tabs));
        let word = self.redirect_word()?;
        let Some(delimiter) = word.literal() else {
            return Err(ParseError::Syntax {
                at: word.at,
                why: "the end of a here document must be plain".to_owned(),
            });
        };
        let quoted = word.parts.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }));
        let body = self.bodies.len();
        self.bodies.push(Word { at: word.at, parts: Vec::new() });
        self.pending.push(Pending { delimiter, quoted, tabs, at: word.at, body });
        // The body stands behind the line; `place_bodies` puts it here by this mark.
        Ok(RedirectKind::Here(Word {
            at: word.at,
            parts: vec![Part::Text { text: body.to_string(), quoted: true }],
        }))
    }

    /// Reads the bodies of the here documents of the line that just ended.
    fn here_bodies(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let mut body = Vec::new();
            loop {
                if self.peek().is_none() {
                    break; // as shells do, with a warning
                }
                while pending.tabs && self.peek() == Some('\t') {
                    self.skip(1);
                }
                let mut line = Vec::new();
                while let Some(taken) = self.take() {
                    line.push(taken);
                    if taken.0 == '\n' {
                        break;
                    }
                }
                let text: String = line.iter().map(|(character, _)| *character).collect();
                if text.strip_suffix('\n').unwrap_or(&text) == pending.delimiter {
                    break;
                }
                body.extend(line);
            }
            let word = if pending.quoted {
                let text = body.iter().map(|(character, _)| *character).collect();
                Ok(Word { at: pending.at, parts: vec![Part::Text { text, quoted: true }] })
            } else {
                self.inner(body).and_then(|mut inner| inner.here_text(pending.at))
            };
            match word {
                Ok(word) => {
                    if let Some(slot) = self.bodies.get_mut(pending.body) {
                        *slot = word;
                    }
                }
                Err(error) => self.failed = self.failed.take().or(Some(error)),
            }
        }
    }

    /// Puts the bodies of here documents where their redirections are.
    pub(super) fn place_bodies(&mut self, list: &mut List) -> Parsed<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some(pending) = self.pending.first() {
            let why = format!("the here document `{}` has no text", pending.delimiter);
            return Err(ParseError::Syntax { at: pending.at, why });
        }
        let bodies = std::mem::take(&mut self.bodies);
        if !bodies.is_empty() {
            place_in_list(list, &bodies);
        }
        Ok(())
    }
}

/// Whether a word is the name of a variable.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(is_name_start) && name.chars().all(is_name)
}

fn place_in_list(list: &mut List, bodies: &[Word]) {
    let pipelines = list.0.iter_mut().flat_map(|and_or| {
        std::iter::once(&mut and_or.first).chain(and_or.rest.iter_mut().map(|(_, pipeline)| pipeline))
    });
    for command in pipelines.flat_map(|pipeline| &mut pipeline.commands) {
        for redirect in &mut command.redirects {
            if let RedirectKind::Here(word) = &mut redirect.kind
                && let Some(body) = word.literal().and_then(|mark| bodies.get(mark.parse::<usize>().ok()?))
            {
                *word = body.clone();
            }
        }
        match &mut command.kind {
            CommandKind::Group(list) | CommandKind::Subshell(list) | CommandKind::For { body: list, .. } => {
                place_in_list(list, bodies);
            }
            CommandKind::If { branches, otherwise } => {
                for (condition, body) in branches {
                    place_in_list(condition, bodies);
                    place_in_list(body, bodies);
                }
                otherwise.iter_mut().for_each(|list| place_in_list(list, bodies));
            }
            CommandKind::Case { arms, .. } => {
                arms.iter_mut().for_each(|(_, list)| place_in_list(list, bodies));
            }
            // Here documents within substitutions are placed when those end.
            CommandKind::Simple(_) => {}
        }
    }
}
