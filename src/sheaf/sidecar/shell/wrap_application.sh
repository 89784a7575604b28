#!/bin/sh
# Runs a program when the data of its sidecars is ready, and waits until they have saved what it wrote.
#
#   wrap_application.sh [-s] -c DIR -b fuse|postgres [-b ...] [-d "DB1 DB2"] [-t S] [-w S] [-l S] [-g S] [-p S] -- CMD ARGS
#
#   -c  coordination folder, which the sidecars share
#   -b  kind of sidecar; repeatable
#   -d  databases, each with a folder of its own below the coordination folder (only with -b postgres)
#   -s  sleep at the end instead of exiting
#   -t  seconds until the data must be ready, and again until it must be saved (86400; 0: no limit)
#   -w  seconds until each sidecar must show its first sign of life (3600; 0: no limit)
#   -l  seconds of silence after which a sidecar is lost (60)
#   -g  seconds between SIGTERM and SIGKILL when a failed sidecar ends the program (30)
#   -p  seconds between two looks at the coordination folder (1; at most 10)
#
# Exit codes: the program's if it is not 0; 0 if all is saved; 1 for wrong arguments; 124 for a time-out; 125 if a sidecar
# has failed or the coordination folder was used before; 143 or 130 if it was terminated while it waited.
#
# POSIX sh: dash, busybox and bash run it. It needs mkdir, mv, sleep and, without /proc, date.
#
# shellcheck disable=SC2317 # most functions are called through `each`
set -uf

coord='' kinds='' databases='' sleeps=''
timeout=86400 first=3600 lost=60 grace=30 poll=1 longest_poll=10
beats=0 program='' watcher='' ended_by='' code=0 verdict=0 last='' since=0 line='' problem=''

say() { printf '%s\n' "wrap_application: $*" >&2; }

# write FILE TEXT: readers see it whole or not at all.
write() {
    printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"
} 2>/dev/null

# create FOLDER: the sidecar may run as another user.
create() { [ -d "$1" ] || (umask 0 && mkdir -p "$1"); }

# usage TEXT: ends the script, and the wait of the sidecars, as far as their folders are known.
usage() {
    printf '%s\n' "$1" >&2
    for database in . $databases; do
        folder=$coord/$database
        [ -z "$coord" ] || { create "$folder" && write "$folder/application-failed" "$1"; }
    done
    exit 1
}

# wrong TEXT: keeps the first problem until all arguments are read, since the folders may come after it.
wrong() { problem=${problem:-$1}; }

is_number() {
    case $1 in
        '' | . | *[!0-9.]* | *.*.*) return 1 ;;
    esac
}

while getopts sc:b:d:t:w:l:g:p: option; do
    case $option in
        s) sleeps=1 ;;
        c) coord=$OPTARG ;;
        b)
            case $OPTARG in
                fuse | postgres) kinds="$kinds $OPTARG" ;;
                *) wrong "unkown battery type $OPTARG" ;; # spelt as Datamon does
            esac
            ;;
        d) databases="$databases $OPTARG" ;;
        [twlg])
            case $OPTARG in
                '' | *[!0-9]*) wrong "-$option: '$OPTARG' is not a whole number of seconds" ;;
            esac
            case $option in
                t) timeout=$OPTARG ;;
                w) first=$OPTARG ;;
                l) lost=$OPTARG ;;
                g) grace=$OPTARG ;;
            esac
            ;;
        p)
            is_number "$OPTARG" || wrong "-p: '$OPTARG' is not a number of seconds"
            poll=$OPTARG
            ;;
        *) wrong 'wrong arguments: an option is unknown or has no value' ;;
    esac
done
shift $((OPTIND - 1))
[ -z "$problem" ] || usage "$problem"
[ -n "$coord" ] || usage 'coordination point not set'
[ -n "$kinds" ] || usage 'battery type not set: pass -b fuse or -b postgres'
[ $# -gt 0 ] || usage 'no program: write it behind --'

# A longer pause between two signs of life would make the sidecars take the program for lost.
[ "0${poll%%.*}" -lt "$longest_poll" ] || poll=$longest_poll

# Seconds since some moment. The kernel's own, where there is one, since the clock can be set while this runs.
now() {
    if [ -r /proc/uptime ] && read -r uptime _ </proc/uptime; then
        now=${uptime%%.*}
    else
        now=$(date +%s)
    fi
}

# each FUNCTION: calls it with the number, the folder, the kind and the three events of each sidecar, until one fails.
each() {
    number=0
    for kind in $kinds; do
        if [ "$kind" = fuse ]; then
            number=$((number + 1))
            "$1" $number "$coord" fuse mountdone initupload uploaddone || return
            continue
        fi
        for database in ${databases:-.}; do # without names, the events of the only database are not in a folder
            folder=$coord
            [ "$database" = . ] || folder=$coord/$database
            number=$((number + 1))
            "$1" $number "$folder" postgres dbstarted initdbupload dbuploaddone || return
        done
    done
}

# Waits for a moment. A signal that is trapped ends it at once, as it would not end sleep alone.
pause() {
    sleep "$poll" >/dev/null 2>&1 &
    wait $!
}

# first_line FILE: sets line, which is empty if the file is not there, or not readable for this user.
first_line() {
    line=''
    [ ! -f "$1" ] || read -r line <"$1" || true
} 2>/dev/null

ensure_unused() {
    for file in application-running application-failed "$5" "$6"; do
        if [ -e "$2/$file" ]; then
            say "coordination folder $2: it contains '$file' from an earlier run: use a new, empty folder for each run"
            return 1
        fi
    done
}

say_unwritable() { say "coordination folder $1: it can't be written to"; }

announce() {
    create "$2" && write "$2/application-running" 0 && return
    say_unwritable "$2"
    return 1
}

beat_one() { write "$2/application-running" "$beats" || true; }

beat() {
    beats=$((beats + 1))
    each beat_one
}

# Fails if the sidecar has failed or is silent. Variables seen_N, since_N and alive_N keep what was seen of sidecar N.
check() {
    [ ! -f "$2/$6" ] || return 0 # it has saved everything and ended, while another one still saves
    if [ -f "$2/$3-failed" ]; then
        first_line "$2/$3-failed"
        say "the $3 sidecar has failed: ${line:-no reason given}"
        return 125
    fi
    first_line "$2/$3-running"
    seen=$line
    eval "last=\${seen_$1-none} since=\${since_$1-$now}"
    if [ "$last" = none ]; then
        eval "seen_$1=\$seen since_$1=$now alive_$1="
    elif [ "$seen" != "$last" ]; then
        eval "seen_$1=\$seen since_$1=$now alive_$1=1"
    elif [ -n "$seen" ] && [ $((now - since)) -ge "$lost" ]; then
        say "no sign of life of the $3 sidecar for $lost s: it was probably killed"
        return 125
    elif [ -z "$seen" ] && [ "$first" -gt 0 ] && [ $((now - since)) -ge "$first" ] && [ ! -f "$2/$4" ]; then
        say "no $3 sidecar after $first s: see the state of its container"
        return 124
    fi
    return 0
}

# An old event in a used folder must not start the program: a sidecar that shows signs of life must do so now.
is_ready() {
    eval "alive=\${alive_$1-}"
    [ -f "$2/$4" ] && { [ -n "$alive" ] || [ ! -f "$2/$3-running" ]; }
}
is_saved() { [ -f "$2/$6" ]; }

# await FUNCTION TEXT: waits until it succeeds for all sidecars.
await() {
    now
    begun=$now
    while :; do
        each "$1" && return
        [ -z "$ended_by" ] || return "$ended_by"
        now
        each check || return
        if [ "$timeout" -gt 0 ] && [ $((now - begun)) -ge "$timeout" ]; then
            say "$2 after $timeout s"
            return 124
        fi
        beat
        pause
    done
}

report_failure_one() { write "$2/application-failed" "$failure" || say_unwritable "$2"; }
report_failure() {
    failure=$1
    each report_failure_one
}

emit_finished_one() {
    # `:` would end the whole script if it can't be written.
    { printf '' >"$2/$5"; } 2>/dev/null && return
    say_unwritable "$2"
    return 1
}

finish() {
    if [ -n "$sleeps" ]; then
        say "sleeping instead of exiting with $1"
        trap 'exit '"$1" TERM INT
        while :; do sleep 1; done
    fi
    exit "$1"
}

# Runs next to the program: shows signs of life, and says by SIGUSR1 that a sidecar has failed. It ends with the program:
# bash can miss that when a signal comes at the same time, but not the end of this process, too.
watch() {
    while is_running; do
        now
        each check || break
        beat
        pause
    done
    is_running || exit 0
    say 'ending the program, since its data can no longer be read or saved'
    kill -USR1 $$
    now
    end=$((now + grace))
    while is_running && [ "$now" -lt "$end" ]; do
        pause
        now
    done
    kill -KILL "$program" 2>/dev/null
}

is_running() { kill -0 "$program" 2>/dev/null; }

# Sets code to what the program ended with. A signal that this script gets goes on to the program. Shells start
# programs in the background with SIGINT ignored, so SIGTERM is what arrives there.
run() {
    if (: <&0) 2>/dev/null; then exec 3<&0; else exec 3</dev/null; fi
    "$@" <&3 3<&- &
    program=$!
    trap 'signalled=1; kill -TERM "$program" 2>/dev/null' TERM INT
    trap 'signalled=1; verdict=125; kill -TERM "$program" 2>/dev/null' USR1
    [ -z "$ended_by" ] || kill -TERM "$program" # the signal came before the trap
    watch <&3 3<&- >&2 &
    watcher=$!
    exec 3<&-
    code=
    while :; do
        signalled=
        wait "$program"
        got=$?
        # 127 at the second time: the first wait had the answer, and the signal came after it.
        if [ -z "$code" ] || [ $got -ne 127 ]; then code=$got; fi
        [ -n "$signalled" ] || break
    done
    { # without a report of bash that it was killed
        kill -KILL "$watcher" # a shell's new process can lose any other signal
        wait "$watcher"
    } 2>/dev/null
    trap '' USR1
}

trap 'ended_by=143' TERM
trap 'ended_by=130' INT

# All folders are looked at before anything is written: several sidecars may share one.
if ! each ensure_unused; then
    report_failure 'was started in a used coordination folder'
    finish 125
fi
if ! each announce; then
    report_failure 'did not start: a coordination folder is not writable' 2>/dev/null
    finish 125
fi
await is_ready 'the data is not ready'
code=$?
if [ $code -ne 0 ]; then
    report_failure "did not start: $([ $code -ge 128 ] && echo terminated || echo 'the data was not ready')"
    finish $code
fi

run "$@"
if [ "$verdict" -eq 125 ]; then
    report_failure 'was ended: a sidecar has failed'
    finish 125
fi
if [ "$code" -ne 0 ]; then
    printf '%s\n' 'application exited with non-zero-status'
    report_failure "exited with code $code"
    finish "$code"
fi

ended_by=''
trap 'ended_by=143' TERM
trap 'ended_by=130' INT
if ! each emit_finished_one; then
    report_failure 'has finished, but a coordination folder is not writable'
    finish 125
fi
await is_saved 'the data is not saved'
code=$?
if [ $code -ne 0 ]; then
    [ $code -lt 128 ] || say 'terminated before the data was saved'
    finish $code
fi
printf '%s\n' 'received upload done event, exiting'
finish 0
