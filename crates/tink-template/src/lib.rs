//! Go text/template and Sprig rendering of templates with hardware data
