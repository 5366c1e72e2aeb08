//! Rows as PostgreSQL takes them in: a column at a time, as arrays that are unnested side by side.

use eve_core::RequestId;

use crate::standing::Standing;

/// A column of which nothing is said where no row has a value: `unnest` in a select list pads the shorter arrays with
/// NULL, which is cheaper than hearing of each.
pub(crate) fn sparse<T>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<T>> {
    let values: Vec<Option<T>> = values.collect();
    if values.iter().all(Option::is_none) { Vec::new() } else { values }
}

/// From where to where parts of these lengths go in the array of them all, one behind the other. Both ends are included,
/// and counting begins at one, as in a slice of an SQL array.
pub(crate) fn slices(lengths: impl Iterator<Item = usize>) -> (Vec<i32>, Vec<i32>) {
    let mut end = 0;
    lengths
        .map(|length| {
            let start = end + 1;
            end += i32::try_from(length).unwrap_or(i32::MAX);
            (start, end)
        })
        .unzip()
}

/// The columns that all places but the results have, side by side.
pub(crate) struct Columns {
    pub(crate) ids: Vec<uuid::Uuid>,
    pub(crate) orgs: Vec<uuid::Uuid>,
    pub(crate) parents: Vec<Option<uuid::Uuid>>,
    pub(crate) fences: Vec<i64>,
    pub(crate) lanes: Vec<i32>,
    pub(crate) priorities: Vec<i16>,
    pub(crate) burned: Vec<i16>,
    pub(crate) crashes: Vec<i16>,
    pub(crate) max_attempts: Vec<i16>,
}

impl Columns {
    pub(crate) fn of<'a>(rows: impl Iterator<Item = &'a Standing> + Clone) -> Self {
        let small = |number: u16| i16::try_from(number).unwrap_or(i16::MAX);
        Self {
            ids: rows.clone().map(|row| row.id.uuid()).collect(),
            orgs: rows.clone().map(|row| row.org_id.uuid()).collect(),
            parents: sparse(rows.clone().map(|row| row.parent_id.map(RequestId::uuid))),
            fences: rows.clone().map(|row| row.life.fence.0).collect(),
            lanes: rows.clone().map(|row| row.lane.0).collect(),
            priorities: rows.clone().map(|row| row.priority.number()).collect(),
            burned: rows.clone().map(|row| small(row.life.burned)).collect(),
            crashes: rows.clone().map(|row| small(row.life.crashes)).collect(),
            max_attempts: rows.clone().map(|row| small(row.life.policy.max_attempts)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::slices;
    use super::sparse;

    #[test]
    fn slices_follow_each_other() {
        assert_eq!(slices([2, 1, 3].into_iter()), (vec![1, 3, 4], vec![2, 3, 6]));
    }

    #[test]
    fn a_column_is_left_out_only_if_it_is_empty() {
        assert_eq!(sparse([None, Some(1)].into_iter()), [None, Some(1)]);
        assert_eq!(sparse::<i32>([None, None].into_iter()), []);
    }
}
