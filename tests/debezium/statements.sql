insert into small values (1,'a'),(2,null)
;;
update small set name='b' where id=1
;;
update small set id=5 where id=2
;;
delete from small where id=1
;;
begin; insert into small values (10,'é"\ x'); insert into comp values (1,2,'x'); update comp set v='y'; update comp set b=3; delete from comp; select pg_logical_emit_message(true,'pfx','hello'); commit
;;
select pg_logical_emit_message(false,'pfx2',decode('00ff','hex'))
;;
insert into nokey values ('x'); update nokey set v='y'; delete from nokey
;;
insert into rf values (1,'x','t'); update rf set v='y'; update rf set id=2; delete from rf
;;
truncate small, comp
;;
truncate rf restart identity cascade
;;
insert into defs(h) values ('z')
;;
insert into big values (1, 1, repeat('x',4000), decode(repeat('ab',4000),'hex'), array[repeat('y',4000)], array(select generate_series(1,3000)), jsonb_build_object('a',repeat('z',4000)), array(select generate_series(1,3000)::numeric), hstore('a',repeat('q',4000)), array(select now() from generate_series(1,3000)), repeat('n',4000))
;;
update big set v=2
;;
insert into types values (1,
 true, 32767, -2147483648, 9223372036854775807, 4294967295, 1.1, 0.1,
 12345.6789, 12.30, 12345, 12300, 1234.56,
 'text', 'vc', 'vc0', 'ab', 'bp ', 'name', 'c',
 '\x00ff', B'1', B'101010101010', B'10101', B'1010101',
 '2024-02-29', '12:34:56.789012', '12:34:56', '12:34:56.789', '12:34:56.789+02', '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.7891', '2024-02-29 12:34:56.789012+00', '2024-02-29 12:34:56.789+00', '1 year 2 mons 3 days 04:05:06.789', '1 year 2 mons',
 '{"a": 1,  "a":2}', '{"a": 12345678901234567890.123}', '6f1b0b7e-0000-4000-8000-000000000000', null, '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
 '(1.5,2)', '{1,2,3}', '[(1,2),(3,4)]', '((3,4),(1,2))', '[(1,2),(3,4)]', '((1,2),(3,4),(5,6))', '<(1,2),3>',
 'a b', 'a & b', '0/16B3748', '10:20:10,14,15', '10:20:10,14,15', '$.a', 'pg_class', '123', '456', '7', '(1,2)',
 '[1,5)', '[1,5)', '[1.5,2.5)', '["2024-01-01 00:00:00","2024-01-02 00:00:00")', '["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")', '[2024-01-01,2024-01-05)', '{[1,3),[5,8)}', '[1.5,2)',
 'happy', 5, 6, 'e@x', 12.30, '(1,"x y")',
 '"a"=>"1", "b"=>NULL', 'CiText', 'a.b.c',
 '{t,f,NULL}', '{1,2}', '{{1,2},{3,4}}', '{1,NULL}', '{1}', '{1.5}', '{0.1,1e300}', '{1.50,2}', '{1.50,2}', '{a,"b c",NULL,"NULL",""}', '{a}', '{a}', '{n}', '{"\\x00ff"}', '{101}', '{1010}',
 '{2024-02-29}', '{12:34:56.789012}', '{12:34:56.789+02}', '{"2024-02-29 12:34:56.789012"}', '{"2024-02-29 12:34:56.789"}', '{"2024-02-29 12:34:56.789012+00"}', '{1 day}', '{"{\"a\": 1}"}', '{"{\"a\": 1}"}', '{6f1b0b7e-0000-4000-8000-000000000000}', null, '{10.0.0.1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{"(1,2)"}', '{1.50}', '{"[1,5)"}', '{"[2024-01-01 00:00:00,2024-01-02 00:00:00)"}', '{"[2024-01-01,2024-01-05)"}', '{happy,NULL}', '{5}', '{"(1,x)"}', '{"\"a\"=>\"1\""}', '{Ci}', '{a.b}', '{"''a''"}')
;;
insert into types(id) values (2)
;;
insert into types (id, c_float4, c_float8, c_num, c_date, c_time, c_ts, c_tstz, c_interval, c_num102, c_timetz, a_num, a_float8, a_date, a_ts, a_tstz, c_money, c_ts3, c_bit, c_varbit, c_xml, c_hstore, a_text, a_int4, c_char,a_num102, c_point) values
 (3,'NaN','Infinity','NaN','infinity','24:00:00','infinity','infinity','-1 mon +1 day -00:00:01.5','NaN','24:00:00-12:30','{NaN,1}','{NaN,Infinity}','{infinity,2024-01-01}','{infinity}','{infinity}',-1234.56,'infinity',B'000000000001',B'',null,'','{}','[2:3]={5,6}','',null,'(1e300,NaN)')
;;
insert into types (id, c_float4, c_float8, c_num, c_date, c_time, c_ts, c_tstz, c_interval, c_num102, c_timetz) values
 (4,'-0','-0',1e40,'0044-03-15 BC','00:00:00','0044-03-15 12:00:00 BC','0044-03-15 12:00:00+00 BC','-3 days',0,'00:00:00+00')
;;
insert into types (id, c_float4, c_float8, c_num, c_date, c_ts, c_tstz, c_interval, c_num102) values
 (5,1e-45,5e-324,-0.000000001,'5874897-12-31','294276-12-31 23:59:59.999999','294276-12-31 23:59:59.999999+00','178000000 years',-99999999.99)
;;
insert into types (id, c_float4, c_float8, c_num, c_date, c_ts, c_tstz, c_interval, c_time, c_time3, c_timetz) values
 (6,16777216,1e16,100,'-infinity','-infinity','-infinity','100:00:00','00:00:00.000001','00:00:00.1','10:00:00.000001+05:45')
;;
insert into types (id, c_num,c_float8,c_float4,c_tstz,c_ts,c_interval,c_ts0) values
 (7,0,1e22,1234567,'2024-01-01 10:00:00+00','1969-12-31 23:59:59.999999','0',  '1969-12-31 23:59:59'), (8,1000,123456789.123,1e10,'1582-10-04 00:00:00.1+00','1582-10-04 00:00:00','1.5 secs','0001-01-01 00:00:00'),(9,0.10,100,0.001,'9999-12-31 23:59:59+00','9999-12-31 23:59:59','-1 year -2 mons','10000-01-01 00:00:00'),(10,-5,0.0001,-5,'10000-01-01 00:00:00+00','10000-01-01 00:00:00','1 mon 1 us','2024-01-01')
;;
delete from defs
;;
update types set c_text='other' where id=1
;;
insert into types (id,c_timetz,c_time,c_ts,c_interval,c_tstz,a_interval,c_num,c_tstz3) values (11,'10:00:00.1+00','10:00:00.12','2024-01-01 00:00:00.12','-04:05:06.789','2024-01-01 00:00:00.12+00','{1 day}','Infinity','2024-01-01 00:00:00+00'),(12,'10:00:00.123456+02:30','10:00:00.123','2024-01-01 00:00:00.123','-1 day +00:00:00.5','2024-01-01 00:00:00.123+00',null,'-Infinity','2024-01-01 00:00:00.1+00')
;;
insert into dflt(id) values (1)
;;
do $$ declare nulls text; begin select string_agg(quote_ident(attname) || ' = null', ', ') into nulls from pg_attribute where attrelid = 'dflt'::regclass and attnum > 1 and not attnotnull; execute 'update dflt set ' || nulls; end $$
;;
delete from dflt
;;
insert into "Odd.té""st" values (1, 'a', 2); update "Odd.té""st" set "Id x" = 2; delete from "Odd.té""st"
