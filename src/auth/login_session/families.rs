//! The families that a login session may use.

use crate::event::Family;

/// A set of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families(u8);

impl Families {
    /// Every family, also one of a later version.
    pub const ALL: Self = Self(u8::MAX);

    /// The set of these families.
    #[must_use]
    pub fn new(families: impl IntoIterator<Item = Family>) -> Self {
        Self(families.into_iter().fold(0, |set, family| set | Self::bit(family)))
    }

    /// The families with these names, which are joined by commas. Leaves out a name that is not known.
    #[must_use]
    pub(super) fn from_names(names: &str) -> Self {
        let is_named = |family: &Family| names.split(',').any(|name| name == family.name());
        Self::new(Family::ALL.into_iter().filter(is_named))
    }

    /// The names of the families, joined by commas. `None` for all families.
    #[must_use]
    pub fn names(self) -> Option<String> {
        let names: Vec<&str> = self.iter().map(Family::name).collect();
        (self != Self::ALL).then(|| names.join(","))
    }

    /// Whether the family is in the set.
    #[must_use]
    pub fn contains(self, family: Family) -> bool {
        self.0 & Self::bit(family) != 0
    }

    /// The families in the set.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }

    fn bit(family: Family) -> u8 {
        1 << family as u8
    }
}
