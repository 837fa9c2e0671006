# Completion of varve for bash: source <(varve completion bash)
_varve() {
  local cur=${COMP_WORDS[COMP_CWORD]} word prefix i n=0
  local -a words=()
  # bash cuts words at "=" and ":", which varve does not: put them together again.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((n > 0)) && [[ $word == [=:]* || ${COMP_WORDS[i - 1]} == *[=:] ]]; then
      words[n - 1]+=$word
    else
      words[n++]=$word
    fi
  done
  [[ $cur == [=:]* ]] && cur=
  prefix=${words[n - 1]%"$cur"}
  COMPREPLY=()
  while IFS=$'\t' read -r word _; do
    if [[ $word == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
    else
      COMPREPLY+=("${word#"$prefix"}")
    fi
  done < <("${COMP_WORDS[0]/#\~/$HOME}" completion words -- "${words[@]}" 2>/dev/null)
}
complete -F _varve varve
