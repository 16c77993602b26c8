# bash completion for sallyport. What can follow is asked of the binary's own help, so that it is never out of date.

_sallyport_names() { # backends that the configuration at $1 and its neighbours define
    local folder=${1%/*}
    [ "$folder" != "$1" ] || folder=.
    sed -nE 's/^[[:space:]]*backend[[:space:]]+"([^"]+)".*/\1/p' "$1" "$folder"/backends/*.conf 2>/dev/null
}

_sallyport() {
    local cur prev word command='' config=/etc/sallyport/sallyport.conf commands i
    local binary=${COMP_WORDS[0]}
    COMPREPLY=()
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    commands=$("$binary" help 2>/dev/null | sed -nE 's/^  ([a-z]+) .*/\1/p')
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ "$word" = -c ]; then
            config=${COMP_WORDS[i + 1]}
        elif [ -z "$command" ] && [ "${word#-}" = "$word" ] && [ "${COMP_WORDS[i - 1]}" != -c ]; then
            command=$word
        fi
    done

    case $prev in
    -c)
        COMPREPLY=($(compgen -f -- "$cur"))
        compopt -o filenames 2>/dev/null
        return ;;
    --backend)
        COMPREPLY=($(compgen -W "$(_sallyport_names "$config")" -- "$cur"))
        return ;;
    --listen)
        COMPREPLY=($(compgen -W "$(sed -nE 's/^[[:space:]]*listen[[:space:]]+"([^"]+)".*/\1/p' "$config" 2>/dev/null)" -- "$cur"))
        type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$cur"
        return ;;
    --to | --from | --proxy)
        return ;;
    esac

    if [ -z "$command" ]; then
        case $cur in
        -*) COMPREPLY=($(compgen -W "-c --help --version" -- "$cur")) ;;
        *) COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
        esac
    elif [ "${cur#-}" != "$cur" ]; then
        COMPREPLY=($(compgen -W "--help $("$binary" help "$command" 2>/dev/null | grep -oE -- '--[a-z]+|^  -[a-z]')" -- "$cur"))
    elif [ "$command" = help ]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    elif [ "$command" = ctl ] && [[ $prev = ctl || ${COMP_WORDS[COMP_CWORD - 2]} = -c ]]; then
        COMPREPLY=($(compgen -W "$("$binary" help ctl 2>/dev/null | sed -nE 's/^  ([a-z]+) .*/\1/p')" -- "$cur"))
    fi
}
complete -F _sallyport sallyport
