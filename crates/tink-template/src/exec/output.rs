//! The output, capped, which remembers the source line of each of its lines.

/// Translates byte offsets of the source into lines and columns.
pub(crate) struct LineIndex<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> LineIndex<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, starts }
    }

    /// The line of a byte, counted from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// Line and column of a byte, both counted from 1, the column in characters.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.source.get(start..at).map_or(0, |text| text.chars().count());
        (line, column + 1)
    }
}

/// The text so far.
pub(crate) struct Output {
    text: Vec<u8>,
    bytes_max: usize,
    /// The source line of each finished or begun output line; 0 while nothing visible is on it.
    origins: Vec<u32>,
    visible: bool,
}

impl Output {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { text: Vec::new(), bytes_max, origins: vec![0], visible: false }
    }

    /// Appends literal text of the source that starts on `line`.
    pub(crate) fn literal(&mut self, bytes: &[u8], line: usize) -> Result<(), ()> {
        self.append(bytes, line, true)
    }

    /// Appends what an action on `line` printed.
    pub(crate) fn printed(&mut self, bytes: &[u8], line: usize) -> Result<(), ()> {
        self.append(bytes, line, false)
    }

    fn append(&mut self, bytes: &[u8], line: usize, advances: bool) -> Result<(), ()> {
        if self.text.len().saturating_add(bytes.len()) > self.bytes_max {
            return Err(());
        }
        self.text.extend_from_slice(bytes);
        let mut line = u32::try_from(line).unwrap_or(u32::MAX);
        for byte in bytes {
            self.note(line, !byte.is_ascii_whitespace());
            if *byte == b'\n' {
                self.origins.push(0);
                self.visible = false;
                line += u32::from(advances);
            }
        }
        Ok(())
    }

    /// The line belongs to what put the first visible character on it.
    fn note(&mut self, line: u32, visible: bool) {
        if self.visible {
            return;
        }
        if let Some(origin) = self.origins.last_mut()
            && (visible || *origin == 0)
        {
            *origin = line;
        }
        self.visible |= visible;
    }

    /// The text and the source line of each of its lines.
    pub(crate) fn finish(self) -> (Vec<u8>, Vec<u32>) {
        (self.text, self.origins)
    }
}
