# shellcheck shell=sh
## The health check of an image: healthy as soon as the check passes once, unhealthy after @RETRIES@
## failures in a row that are later than the start period. Times are in seconds, as `sleep` takes them.
check() {
@CHECK@
}
retries=@RETRIES@
start_period=@START_PERIOD@
begin=$(date +%s)
failures=0
while :; do
check </dev/null &
checked=$!
(
sleep @TIMEOUT@
kill -KILL $checked 2>/dev/null
) >/dev/null 2>&1 &
watch=$!
wait $checked
code=$?
kill $watch 2>/dev/null
if [ $code = 0 ]; then
echo 'laminate: the health check passed'
exit 0
fi
if [ $(($(date +%s) - begin)) -ge "$start_period" ]; then failures=$((failures + 1)); fi
echo "laminate: the health check failed with exit code $code"
if [ "$failures" -ge "$retries" ]; then
echo "the health check failed $retries times" >@RESULTS@/reason
exit 1
fi
sleep @INTERVAL@
done
