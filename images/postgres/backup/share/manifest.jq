# The documents of count_tables.sql and count_sequences.sql as one.
reduce .[] as $each ({label: $label, tables: {}, sequences: {}};
    if $each.table then .tables[$each.table] = ($each | del(.table))
    elif $each.sequence then .sequences[$each.sequence] = ($each | del(.sequence))
    else . + $each end)
