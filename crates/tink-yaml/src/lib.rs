//! YAML with positions: nodes, lenient scalars, JSON conversion and Go-compatible emission
