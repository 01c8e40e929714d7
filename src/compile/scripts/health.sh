# shellcheck shell=sh disable=SC2154 # serve.sh sets `server`
## The health check of an image beside its own command. It is made every second, and passes once; failures
## count when Docker would make the check (moby, daemon/health.go): an interval after the start and after the
## check before, which in the start period is @START_INTERVAL@ s. @RETRIES@ failures in a row of checks that begin
## after the start period make the image unhealthy. Times are in seconds, as `sleep` takes them.
check() {
@CHECK@
}
interval=@INTERVAL@
timeout=@TIMEOUT@
retries=@RETRIES@
start_period=@START_PERIOD@
period_end=$(($(date +%s) + start_period))
failures=0
gap() {
if [ "$(date +%s)" -lt "$period_end" ]; then echo @START_INTERVAL@; else echo "$interval"; fi
}
due=$(($(date +%s) + $(gap)))
while :; do
sleep 1
begin=$(date +%s)
check </dev/null >@PLACE@/health.log 2>&1 &
checked=$!
(
sleep "$timeout"
kill -KILL $checked 2>/dev/null
) >/dev/null 2>&1 &
watch=$!
wait $checked
code=$?
kill $watch 2>/dev/null
end=$(date +%s)
if ended "$server"; then
cat @PLACE@/health.log
exit 1
fi
if [ $code = 0 ]; then
cat @PLACE@/health.log
echo 'laminate: the health check passed'
exit 0
fi
if [ "$begin" -ge $due ]; then
due=$((end + $(gap)))
failed="failed with exit code $code"
if [ $code = 137 ] && [ $((end - begin)) -ge "$timeout" ]; then failed="took longer than $timeout s"; fi
cat @PLACE@/health.log
if [ "$begin" -ge "$period_end" ]; then
failures=$((failures + 1))
echo "laminate: the health check $failed ($failures of $retries)"
else
echo "laminate: the health check $failed (in the start period)"
fi
if [ "$failures" -ge "$retries" ]; then
echo "the health check failed $retries times" >@RESULTS@/reason
exit 1
fi
fi
done
