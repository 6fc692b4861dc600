# What goes from the repository. Input: `pgbackrest info`; $due: the labels that retention wants gone, or null: those with
# broken pages on which nothing builds; $proven: the labels with a good receipt.
[.[0].backup[]?] as $all
| ($all | map({key: .label, value: .prior}) | from_entries) as $prior
| def chain: [recurse($prior[.] // empty)];
[$all[] | select(.error != true)] as $good
| [$good[].label | select(IN($proven[]))] as $trusted
| ($trusted[-1:] | map(chain[])) as $kept
| ([$good[].label] + [$all[-1:][].label] | map(chain[])) as $needed
| (if $due == null then [$all[].label] - $needed else $due end - $kept) as $going
| {
    held: [$kept[] | select(IN(($due // [])[]))],
    going: $going,
    roots: [$going[] | select($prior[.] as $on | any($going[]; . == $on) | not)]
}
