%%! -kernel start_distribution false
%% SPDX-License-Identifier: MIT
%%
%% port.escript PROGRAM RECORD: opens ports to PROGRAM with each length of {packet,N} and both ways
%% in which a port has its descriptors. PROGRAM writes the file RECORD when it sees the end.

main([Program, Record]) ->
    [converse(Program, Record, Width, Handover) || Width <- [1, 2, 4],
                                                   Handover <- [use_stdio, nouse_stdio]],
    exit_status(Program),
    halt(0).

demand(true, _) -> ok;
demand(_, What) ->
    io:format(standard_error, "port.escript: ~p~n", [What]),
    halt(1).

framing(1) -> "u8";
framing(2) -> "u16";
framing(4) -> "u32".

handover(use_stdio) -> "pipes";
handover(nouse_stdio) -> "fds".

%% {PORT, OPERATING-SYSTEM-PID}
open(Program, Width, Handover, Environment) ->
    Port = open_port({spawn_executable, Program},
                     [{packet, Width}, binary, exit_status, Handover, {env, Environment},
                      {args, [framing(Width), handover(Handover)]}]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    {Port, Pid}.

ask(Port, Data) ->
    port_command(Port, Data),
    answer(Port).

answer(Port) ->
    receive
        {Port, {data, Data}} -> Data;
        {Port, Other} -> Other
    after 20000 -> silence
    end.

reverse(Data) -> list_to_binary(lists:reverse(binary_to_list(Data))).

data(Size) ->
    Period = list_to_binary(lists:seq(1, 251)),
    binary:part(binary:copy(Period, Size div 251 + 1), 0, Size).

sizes(1) -> [0, 1, 2, 128, 254, 255];
sizes(2) -> [0, 1, 255, 256, 4096, 65534, 65535];
sizes(4) -> [0, 1, 255, 256, 65535, 65536, 65537, 5000000].

%% The first length that does not fit, made by PROGRAM of one half of it.
half_too_long(1) -> 128;
half_too_long(2) -> 32768;
half_too_long(4) -> none.

converse(Program, Record, Width, Handover) ->
    What = {Width, Handover},
    file:delete(Record),
    {Port, Pid} = open(Program, Width, Handover, [{"PARTNER_RECORD", Record}]),
    [demand(ask(Port, data(Size)) =:= reverse(data(Size)), {What, size, Size})
     || Size <- sizes(Width)],
    in_order(Port, What),
    too_long(Port, Width, What),
    demand(ask(Port, <<"pid">>) =:= integer_to_binary(Pid), {What, pid}),
    port_close(Port),
    ended(Record, Pid, 400, What).

in_order(Port, What) ->
    Numbers = lists:seq(1, 200),
    [port_command(Port, integer_to_binary(Number)) || Number <- Numbers],
    [demand(answer(Port) =:= reverse(integer_to_binary(Number)), {What, order, Number})
     || Number <- Numbers].

too_long(Port, Width, What) ->
    case half_too_long(Width) of
        none -> ok;
        Half ->
            %% What PROGRAM cannot frame, it refuses, and goes on.
            Most = data(Half - 1),
            demand(ask(Port, [<<"twice ">>, Most]) =:= <<Most/binary, Most/binary>>, {What, twice}),
            demand(ask(Port, [<<"twice ">>, data(Half)]) =:= <<"refused">>, {What, refused}),
            demand(ask(Port, <<"on">>) =:= <<"no">>, {What, goes_on})
    end.

%% Closing a port is the end of PROGRAM's input, and no signal.
ended(_, _, 0, What) -> demand(false, {What, did_not_end});
ended(Record, Pid, Tries, What) ->
    case {file:read_file(Record), filelib:is_dir("/proc/" ++ integer_to_list(Pid))} of
        {{ok, <<"ended\n">>}, false} -> ok;
        _ -> timer:sleep(50), ended(Record, Pid, Tries - 1, What)
    end.

exit_status(Program) ->
    {Port, _} = open(Program, 2, use_stdio, []),
    demand(ask(Port, <<"exit 7">>) =:= {exit_status, 7}, exit_status).
