//! Lists, maps, structs, pointers and values with methods.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{GoStr, Value};
use crate::exec::{Context, Fault};

/// A slice: its element type, whether it is nil, and the items.
#[derive(Clone)]
pub(crate) struct List(Rc<ListBody>);

struct ListBody {
    element: &'static str,
    is_nil: bool,
    items: Vec<Value>,
}

impl List {
    pub(crate) fn new(element: &'static str, items: Vec<Value>) -> Self {
        Self(Rc::new(ListBody { element, is_nil: false, items }))
    }

    /// The nil slice: prints as empty, is `null` in JSON.
    pub(crate) fn nil(element: &'static str) -> Self {
        Self(Rc::new(ListBody { element, is_nil: true, items: Vec::new() }))
    }

    pub(crate) fn element(&self) -> &'static str {
        self.0.element
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.0.is_nil
    }

    pub(crate) fn items(&self) -> &[Value] {
        &self.0.items
    }

    pub(crate) fn len(&self) -> usize {
        self.0.items.len()
    }
}

/// A map from strings. Clones share their entries, as Go's maps do.
#[derive(Clone)]
pub(crate) struct Map(Rc<MapBody>);

struct MapBody {
    element: &'static str,
    is_nil: bool,
    entries: RefCell<BTreeMap<GoStr, Value>>,
    /// Whether this map is in the rendering's list of changed maps.
    noted: Cell<bool>,
}

impl Map {
    /// A `map[string]interface {}`.
    pub(crate) fn new(entries: BTreeMap<GoStr, Value>) -> Self {
        Self::typed("interface {}", entries)
    }

    pub(crate) fn typed(element: &'static str, entries: BTreeMap<GoStr, Value>) -> Self {
        Self(Rc::new(MapBody { element, is_nil: false, entries: RefCell::new(entries), noted: Cell::new(false) }))
    }

    /// The nil map: empty, and nothing can be put into it.
    pub(crate) fn nil() -> Self {
        Self(Rc::new(MapBody {
            element: "interface {}",
            is_nil: true,
            entries: RefCell::default(),
            noted: Cell::new(false),
        }))
    }

    pub(crate) fn element(&self) -> &'static str {
        self.0.element
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.0.is_nil
    }

    pub(crate) fn len(&self) -> usize {
        self.0.entries.borrow().len()
    }

    pub(crate) fn get(&self, key: &GoStr) -> Option<Value> {
        self.0.entries.borrow().get(key).cloned()
    }

    pub(crate) fn get_str(&self, key: &str) -> Option<Value> {
        self.get(&GoStr::from(key))
    }

    /// The entries, sorted by key. Held only while nothing of the template runs.
    pub(crate) fn entries(&self) -> Ref<'_, BTreeMap<GoStr, Value>> {
        self.0.entries.borrow()
    }

    /// A copy of the entries, for loops whose body may change the map.
    pub(crate) fn snapshot(&self) -> BTreeMap<GoStr, Value> {
        self.0.entries.borrow().clone()
    }

    /// The entries, to be changed. The map is noted, so that cycles made this way are cut when the rendering ends.
    pub(crate) fn change(&self, context: &Context) -> Result<RefMut<'_, BTreeMap<GoStr, Value>>, Fault> {
        if self.0.is_nil {
            return Err(Fault::new("assignment to entry in nil map"));
        }
        if !self.0.noted.replace(true) {
            context.note_changed(self.clone());
        }
        Ok(self.0.entries.borrow_mut())
    }

    /// Forgets all entries: the end of a rendering.
    pub(crate) fn clear(&self) {
        let entries = std::mem::take(&mut *self.0.entries.borrow_mut());
        drop(entries);
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

// Values nest as deep as a template likes to build them. They are taken apart in a loop, not by recursion, which could
// run out of stack.
impl Drop for ListBody {
    fn drop(&mut self) {
        take_apart(std::mem::take(&mut self.items));
    }
}

impl Drop for MapBody {
    fn drop(&mut self) {
        take_apart(std::mem::take(self.entries.get_mut()).into_values().collect());
    }
}

fn take_apart(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(List(mut body)) => {
                if let Some(body) = Rc::get_mut(&mut body) {
                    pending.append(&mut body.items);
                }
            }
            Value::Map(Map(mut body)) => {
                if let Some(body) = Rc::get_mut(&mut body) {
                    pending.extend(std::mem::take(body.entries.get_mut()).into_values());
                }
            }
            _ => {}
        }
    }
}

/// The fields of a Go struct type.
#[derive(Debug)]
pub(crate) struct StructType {
    /// With its package, as `%T` prints it.
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

/// A field of a struct type.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) json: &'static str,
    pub(crate) omit_empty: bool,
}

/// A struct: its type and the values of its fields, in order.
pub(crate) struct Struct {
    pub(crate) kind: &'static StructType,
    pub(crate) values: Vec<Value>,
}

impl Struct {
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        let index = self.kind.fields.iter().position(|field| field.name == name)?;
        self.values.get(index).cloned()
    }
}

/// A pointer.
#[derive(Clone)]
pub(crate) struct Pointer {
    pub(crate) target_type: &'static str,
    pub(crate) target: Option<Rc<Value>>,
}

/// A value of a type that has methods.
pub(crate) trait Object {
    fn type_name(&self) -> &'static str;
    fn kind_name(&self) -> &'static str;
    /// What its `String` method gives.
    fn text(&self) -> String;
    /// The Go parameter types of a method, or `None` when there is no such method.
    fn method(&self, name: &str) -> Option<&'static [crate::functions::Param]>;
    /// Calls a method that [`Object::method`] knows, with arguments of its types.
    fn call(&self, name: &str, args: &[Value]) -> Result<Value, Fault>;
    fn to_json(&self) -> serde_json::Value;
    fn as_any(&self) -> &dyn std::any::Any;
}
