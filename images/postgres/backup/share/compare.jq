# The differences between a manifest and what was restored, a line each.
$manifest[0] as $wanted | $restored[0] as $there
| ( ($wanted.tables | to_entries[]) as {key: $name, value: $table}
    | $there.tables[$name] as $found
    | if $found == null then "table \($name): missing"
      elif $found.rows != $table.rows then "table \($name): \($table.rows) rows in the manifest, \($found.rows) restored"
      elif [$found.first, $found.last] != [$table.first, $table.last] then
        "table \($name): keys \($table.first) to \($table.last) in the manifest, \($found.first) to \($found.last) restored"
      elif $found.sum != $table.sum then "table \($name): as many rows as in the manifest, with another content"
      else empty end ),
  ( $there.tables | keys[] | select(in($wanted.tables) | not) | "table \(.): not in the manifest" ),
  ( ($wanted.sequences | to_entries[]) as {key: $name, value: $sequence}
    | $there.sequences[$name] as $found
    | if $found == null then "sequence \($name): missing"
      elif ($sequence.up and $found.value < $sequence.value) or (($sequence.up | not) and $found.value > $sequence.value) then
        "sequence \($name): at \($sequence.value) in the manifest, at \($found.value) restored"
      else empty end )
