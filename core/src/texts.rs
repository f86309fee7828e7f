//! Macros that declare an enum and its texts as one list.

/// Declares errors: each variant with the line that its `Display` writes, which names the parts and fields of the variant.
macro_rules! errors {
    ($($(#[$about:meta])* pub enum $name:ident { $(
        $(#[$doc:meta])*
        $variant:ident $(($($part:ident: $part_type:ty),*))? $({ $($(#[$field_doc:meta])* $field:ident: $field_type:ty,)* })?
            => $text:literal,
    )* })*) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant $(($($part_type),*))? $({ $($(#[$field_doc])* $field: $field_type,)* })?,)*
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$variant $(($($part),*))? $({ $($field),* })? => write!(f, $text),)*
                }
            }
        }

        impl core::error::Error for $name {}
    )* };
}

/// Declares codes of the protocol: each variant with its byte on the wire and the line that its `Display` writes.
macro_rules! codes {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal => $text:literal,)* }) => {
        $(#[$about])*
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them, in the order of their codes.
            pub(crate) const ALL: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            pub(crate) fn from_code(code: u8) -> Option<Self> {
                Self::ALL.into_iter().find(|known| *known as u8 == code)
            }
        }

        impl $crate::codec::Field for $name {
            fn read(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::Malformed> {
                Self::from_code(reader.u8()?).ok_or($crate::codec::Malformed)
            }

            fn write(&self, writer: &mut $crate::codec::Writer<'_>) {
                writer.u8(*self as u8);
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}
