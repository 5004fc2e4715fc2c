//! Storage for many small values with stable indices, growing in chunks.
//!
//! A vector that doubles would hold up to twice the memory of a million incidents, and copy them all while it grows.

const CHUNK: usize = 4096;

pub(crate) struct Arena<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Arena<T> {
    /// The index the next inserted value gets.
    fn vacant(&mut self) -> u32 {
        if let Some(index) = self.free.pop() {
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let index = self.slots();
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(None);
        }
        // Slots are bounded by memory long before they are by `u32`.
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let index = self.vacant();
        *self.slot(index) = Some(value);
        self.len += 1;
        index
    }

    /// Puts a value back where it was; for rebuilding.
    pub(crate) fn restore(&mut self, index: u32, value: T) {
        while self.slots() <= index as usize {
            if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                self.chunks.push(Vec::with_capacity(CHUNK));
            }
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.push(None);
            }
        }
        *self.slot(index) = Some(value);
        self.len += 1;
    }

    /// Makes the gaps that [`Self::restore`] left available.
    pub(crate) fn collect_free(&mut self) {
        let vacant = |index: &u32| self.get(*index).is_none();
        self.free = (0..self.slots() as u32).rev().filter(vacant).collect();
    }

    fn slot(&mut self, index: u32) -> &mut Option<T> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?.as_mut()
    }

    /// Takes a value out. Its index is handed out again only after [`Self::release`], so that a record of the old value
    /// and one of a new value can never be part of the same commit.
    pub(crate) fn take(&mut self, index: u32) -> Option<T> {
        let value = self.slot(index).take();
        self.len -= usize::from(value.is_some());
        value
    }

    pub(crate) fn release(&mut self, index: u32) {
        self.free.push(index);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn slots(&self) -> usize {
        self.chunks.split_last().map_or(0, |(last, full)| full.len() * CHUNK + last.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let all = self.chunks.iter().flatten().zip(0u32..);
        all.filter_map(|(slot, index)| slot.as_ref().map(|value| (index, value)))
    }
}
