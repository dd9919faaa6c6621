_hallpass() {
    # Readline breaks words at = and :, too. What no space parts is one word here.
    local words=() rest=$COMP_LINE current=${COMP_LINE:0:COMP_POINT} prefix candidate i at=0
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
            words+=("${COMP_WORDS[i]}")
        else
            words[${#words[@]} - 1]+=${COMP_WORDS[i]}
        fi
        rest=${rest#*"${COMP_WORDS[i]}"}
        if ((i == COMP_CWORD)); then at=$((${#words[@]} - 1)); fi
    done
    current=${current##*[[:space:]]}
    words[at]=$current
    # Only what follows the last break is replaced.
    prefix=${current%"$2"}
    COMPREPLY=()
    while IFS= read -r candidate || [[ $candidate ]]; do
        printf -v candidate %q "${candidate#"$prefix"}"
        COMPREPLY+=("$candidate")
    done < <(COMPLETE=bash _CLAP_COMPLETE_INDEX=$at COMPLETER -- "${words[@]}" 2>/dev/null)
    if [[ ${COMPREPLY[0]-} == */ ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o bashdefault -o nosort -F _hallpass hallpass 2>/dev/null || complete -o bashdefault -F _hallpass hallpass
